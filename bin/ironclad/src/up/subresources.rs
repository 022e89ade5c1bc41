//! `subresources.kubevirt.io` in process: virt-api behind the API server, and before the agents of this process's nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apiserver::Body;
use apiserver::extension::{Extension, ServedVersion};
use http::{Request, Response};
use kube_ext::Context;
use machinery::admission::UserInfo;
use machinery::status::Status;
use parking_lot::RwLock;
use virt_api::Admission;
use virt_api::subresource::{self, Agent, AgentError, Nodes, Stream, Subresources};
use wire::agent::{Channel, Command, Question, Target};

/// The group, once the server stands that its requests are carried out on.
#[derive(Debug, Default)]
pub(super) struct Group(OnceLock<Subresources>);

impl Group {
    /// Begins to answer.
    pub(super) fn serve(&self, context: Context, admission: Arc<Admission>, agents: Arc<Agents>) {
        let subresources = Subresources::new(context, admission, agents, env!("CARGO_PKG_VERSION"));
        // It is called once; a second server would have a group of its own.
        drop(self.0.set(subresources));
    }
}

#[async_trait::async_trait]
impl Extension for Group {
    fn group(&self) -> &str {
        subresource::GROUP
    }

    fn versions(&self) -> Vec<ServedVersion> {
        let version =
            |name: &str| ServedVersion { version: name.into(), resources: subresource::resources() };
        subresource::VERSIONS.into_iter().map(version).collect()
    }

    async fn handle(&self, user: &UserInfo, request: Request<Body>) -> Response<Body> {
        match self.0.get() {
            Some(subresources) => subresources.handle(user, request).await,
            None => apiserver::body::refusal(&Status::unavailable("the server is starting; try again")),
        }
    }
}

/// The agents of this process, by node.
#[derive(Debug, Default)]
pub(crate) struct Agents(RwLock<BTreeMap<String, virt_handler::Door>>);

impl Agents {
    /// Makes the agent of a node reachable.
    pub(super) fn add(&self, node: &str, door: virt_handler::Door) {
        self.0.write().insert(node.to_owned(), door);
    }
}

#[async_trait::async_trait]
impl Nodes for Agents {
    async fn agent(&self, node: &str) -> Option<Arc<dyn Agent>> {
        let door = self.0.read().get(node).cloned()?;
        Some(Arc::new(Local(door)))
    }
}

/// An agent that is called rather than connected to.
#[derive(Debug)]
struct Local(virt_handler::Door);

fn said(error: virt_handler::DoorError) -> AgentError {
    AgentError(error.to_string())
}

#[async_trait::async_trait]
impl Agent for Local {
    async fn command(&self, target: &Target, command: Command) -> Result<(), AgentError> {
        self.0.command(target, command).await.map_err(said)
    }

    async fn ask(&self, target: &Target, question: Question) -> Result<serde_json::Value, AgentError> {
        self.0.ask(target, question).await.map_err(said)
    }

    async fn screenshot(&self, target: &Target) -> Result<Vec<u8>, AgentError> {
        self.0.screenshot(target).await.map_err(said)
    }

    async fn open(&self, target: &Target, channel: Channel) -> Result<Box<dyn Stream>, AgentError> {
        match self.0.open(target, channel).await.map_err(said)? {
            virt_handler::Opened::Unix(stream) => Ok(Box::new(stream)),
            virt_handler::Opened::Tcp(stream) => Ok(Box::new(stream)),
            virt_handler::Opened::Udp(socket) => Ok(Box::new(subresource::Datagrams(socket))),
        }
    }
}
