//! How long a node may be silent: options of whatever runs the controller of nodes.

use std::time::Duration;

use clap::Args;
use kube_controllers::Patience;

use crate::cli::ComponentArgs;

/// When a node counts as lost.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NodeLifeArgs {
    /// Seconds that a node may be silent before it counts as not ready. Its agent speaks every 10 seconds.
    #[arg(long, env = "IRONCLAD_NODE_MONITOR_GRACE_PERIOD", value_name = "SECONDS", default_value_t = 40,
          value_parser = clap::value_parser!(u64).range(11..=86_400))]
    pub(crate) node_monitor_grace_period: u64,
}

impl NodeLifeArgs {
    /// The setting as the controller takes it.
    pub(crate) fn patience(self) -> Patience {
        Patience { grace: Duration::from_secs(self.node_monitor_grace_period), ..Patience::default() }
    }
}

/// Options of the Kubernetes controllers as a process of their own.
#[derive(Clone, Debug, Args)]
pub(crate) struct KubeControllersArgs {
    #[command(flatten)]
    pub(crate) component: ComponentArgs,
    #[command(flatten)]
    pub(crate) nodes: NodeLifeArgs,
}
