//! The settings of an embedded installation.

use std::sync::Arc;

use plan::vmi::{Refusal, launcher};

/// Repository of the launcher's image, which the kubelet has built in.
pub(crate) const LAUNCHER_REPOSITORY: &str = "ironclad.local/virt-launcher";

/// Returns the settings of the controllers of machines.
pub(crate) fn virt_controller(use_emulation: bool) -> virt_controller::Config {
    let release = env!("CARGO_PKG_VERSION");
    let launcher = launcher::Config {
        image: format!("{LAUNCHER_REPOSITORY}:{release}"),
        use_emulation,
        ..launcher::Config::default()
    };
    let mut config = virt_controller::Config::new(launcher, release);
    config.refusals = Arc::new(|instance| {
        let unsupported = model::fields::unsupported(instance).into_iter();
        unsupported
            .map(|field| Refusal { field: field.field, reason: field.reason.into(), remedy: field.remedy.into() })
            .collect()
    });
    config
}

/// Returns the settings of Kubernetes' own controllers.
pub(crate) fn kube_controllers(authority: &str) -> kube_controllers::Config {
    kube_controllers::Config { root_ca: Some(authority.to_owned()) }
}
