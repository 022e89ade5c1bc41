//! What a node does for Services and NetworkPolicies: the roles of a cluster's proxy and of its policy agent.
//!
//! With root, both are rules of the node's packet filter (`filtered`; judgement: [`plan::traffic`]). Without, Pods
//! have no node that packets could pass: then ports of Services on the node are carried by sockets (`carried`), and
//! objects that need more say so in an Event.

mod carried;
mod filtered;
mod view;

use std::future::Future;
use std::sync::Arc;

use kube_ext::{Context, Recorder, Tasks};
use network::pod::Filter;

pub use self::carried::{Dial, Target};

/// What the agent must know of its node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the node.
    pub node: String,
    /// How the node handles traffic.
    pub means: Means,
}

/// How a node handles traffic.
#[derive(Clone)]
pub enum Means {
    /// By rules, as root.
    Filter(Filter),
    /// By sockets, as an ordinary user.
    Sockets(Arc<dyn Dial>),
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Filter(_) => "Filter",
            Self::Sockets(_) => "Sockets",
        })
    }
}

/// Runs the agent until `shutdown` ends. Rules stay when it stops: guests go on, and so do their connections.
pub async fn run(config: Config, context: Context, shutdown: impl Future<Output = ()> + Send) {
    let mut tasks = Tasks::new();
    let recorder = Recorder::start(&context, "kube-network", &mut tasks);
    match config.means {
        Means::Filter(filter) => filtered::start(&context, config.node, filter, recorder, &mut tasks),
        Means::Sockets(dial) => carried::start(&context, config.node, dial, recorder, &mut tasks),
    }
    tasks.run(shutdown).await;
}
