//! The settings of an embedded installation.

use std::sync::Arc;

use api::kubevirt::v1::{DeveloperConfiguration, KubeVirt};
use plan::storage;
use plan::vmi::{Refusal, launcher};
use serde_json::{Value, json};
use wire::machine::Accelerator;

use crate::node_life::NodeLifeArgs;

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
    config.refusals =
        Arc::new(|instance| model::fields::unsupported(instance).into_iter().map(refusal).collect());
    // What the template asks for is said on the instance that is made from it.
    config.machine_refusals = Arc::new(|machine| {
        let unsupported = model::fields::unsupported_machine(machine).into_iter();
        unsupported.filter(|field| !field.field.starts_with("spec.template")).map(refusal).collect()
    });
    config
}

fn refusal(field: model::fields::Unsupported) -> Refusal {
    Refusal {
        field: field.field,
        value: field.value,
        reason: field.reason.to_owned(),
        remedy: field.remedy.to_owned(),
    }
}

/// Returns the storage class that an installation begins with: directories of the nodes, made where the first machine
/// that uses them runs.
pub(super) fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": storage::DEFAULT_CLASS,
            "annotations": {storage::annotation::IS_DEFAULT_CLASS: "true"},
        },
        "provisioner": storage::PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": true,
    })
}

/// Returns the account of Pods that name none, in the namespace that users begin in.
pub(super) fn default_account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
}

/// Returns the settings of Kubernetes' own controllers.
pub(crate) fn kube_controllers(authority: &str, nodes: NodeLifeArgs) -> kube_controllers::Config {
    kube_controllers::Config { root_ca: Some(authority.to_owned()), patience: nodes.patience() }
}

/// Returns the object that configures an installation, as a new one begins.
///
/// With nodes of this machine, it says what they can do: whether guests are emulated.
pub(super) fn kubevirt(accelerator: Option<Accelerator>) -> KubeVirt {
    let mut kubevirt = KubeVirt::default();
    kubevirt.metadata.name = Some("kubevirt".to_owned());
    kubevirt.metadata.namespace = Some(api::names::NAMESPACE.to_owned());
    if let Some(accelerator) = accelerator {
        kubevirt.spec.configuration.developer_configuration = Some(DeveloperConfiguration {
            use_emulation: (accelerator == Accelerator::Tcg).then_some(true),
            ..DeveloperConfiguration::default()
        });
    }
    kubevirt
}
