//! What the controllers need to know of the installation.

use std::sync::Arc;

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use kube_ext::ElectionConfig;
use plan::vmi::{Refusal, launcher};

/// Tells what in an instance this installation cannot honour.
pub type Refusals = Arc<dyn Fn(&VirtualMachineInstance) -> Vec<Refusal> + Send + Sync>;

/// Tells what in a machine, beside its template, this installation cannot honour.
pub type MachineRefusals = Arc<dyn Fn(&VirtualMachine) -> Vec<Refusal> + Send + Sync>;

/// Settings.
#[derive(Clone)]
pub struct Config {
    /// How launcher Pods are made where the `KubeVirt` object does not say.
    pub launcher: launcher::Config,
    /// Version that instances are marked with.
    pub launcher_version: String,
    /// How many objects each controller works on at the same time.
    pub parallel: usize,
    /// Set where several equal processes run.
    pub election: Option<ElectionConfig>,
    /// What cannot be honoured; such instances stay without a Pod and say why.
    pub refusals: Refusals,
    /// What cannot be honoured of a machine itself; such machines get no instance and say why.
    pub machine_refusals: MachineRefusals,
}

impl Config {
    /// Creates settings for one process that honours everything.
    pub fn new(launcher: launcher::Config, launcher_version: impl Into<String>) -> Self {
        Self {
            launcher,
            launcher_version: launcher_version.into(),
            parallel: 8,
            election: None,
            refusals: Arc::new(|_| Vec::new()),
            machine_refusals: Arc::new(|_| Vec::new()),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("launcher", &self.launcher)
            .field("launcher_version", &self.launcher_version)
            .field("parallel", &self.parallel)
            .field("election", &self.election)
            .finish_non_exhaustive()
    }
}
