//! The agents of the nodes, as far as they are asked about machines.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use wire::agent::{Channel, Command, Question, Target};

use super::objects::Instance;
use super::refusal::Refusal;

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why an agent did not do what it was asked, in one sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AgentError(pub String);

/// The agent of one node. In one process this is a call; between hosts it is a connection under mutual TLS.
#[async_trait::async_trait]
pub trait Agent: Send + Sync + std::fmt::Debug {
    /// Has a machine do something and returns when it has.
    async fn command(&self, target: &Target, command: Command) -> Result<(), AgentError>;

    /// Asks about a guest.
    async fn ask(&self, target: &Target, question: Question) -> Result<serde_json::Value, AgentError>;

    /// Takes a picture of the machine's screen and returns it as PNG.
    async fn screenshot(&self, target: &Target) -> Result<Vec<u8>, AgentError>;

    /// Opens a stream.
    async fn open(&self, target: &Target, channel: Channel) -> Result<Box<dyn Stream>, AgentError>;
}

/// The way to the agents.
#[async_trait::async_trait]
pub trait Nodes: Send + Sync + std::fmt::Debug {
    /// Returns the agent of a node, if one can be reached.
    async fn agent(&self, node: &str) -> Option<Arc<dyn Agent>>;
}

/// The way to no node at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAgents;

#[async_trait::async_trait]
impl Nodes for NoAgents {
    async fn agent(&self, _node: &str) -> Option<Arc<dyn Agent>> {
        None
    }
}

/// A reached agent and the instance that it is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) target: Target,
}

/// Finds the agent of an instance that its node has.
pub(crate) async fn reach(nodes: &dyn Nodes, instance: &Instance) -> Result<Reached, Refusal> {
    if !instance.is_on_node() {
        return Err(Refusal::bad(format!(
            "Unable to connect to VirtualMachineInstance because phase is {} instead of Running or Scheduled",
            instance.status.phase
        )));
    }
    let node = &instance.status.node_name;
    let agent = nodes.agent(node).await;
    let agent = agent.ok_or_else(|| Refusal::bad(format!("No virt-handler on node {node} found")))?;
    let target = Target {
        namespace: instance.metadata.namespace.clone(),
        name: instance.metadata.name.clone(),
        uid: instance.metadata.uid.clone(),
    };
    Ok(Reached { agent, target })
}
