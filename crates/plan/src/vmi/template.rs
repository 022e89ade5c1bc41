//! The instance that a template describes, as its owner creates it.

use api::kubevirt::v1::{
    VirtualMachineInstance, VirtualMachineInstanceStatus, VirtualMachineInstanceTemplateSpec,
};
use api::names::phase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::launcher::INSTANCE_FINALIZERS;

/// Makes an instance of a template. Of the template's metadata only labels and annotations count.
pub(crate) fn instance(
    template: &VirtualMachineInstanceTemplateSpec,
    name: &str,
    namespace: Option<&str>,
    owner: OwnerReference,
) -> VirtualMachineInstance {
    let mut annotations = template.metadata.annotations.clone().unwrap_or_default();
    annotations.extend(crate::version::annotations());
    VirtualMachineInstance {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: namespace.map(str::to_owned),
            labels: template.metadata.labels.clone(),
            annotations: Some(annotations),
            finalizers: Some(INSTANCE_FINALIZERS.map(str::to_owned).to_vec()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone().unwrap_or_default(),
        // Instances have no status subresource, so the first phase comes with the creation.
        status: Some(VirtualMachineInstanceStatus {
            phase: Some(phase::PENDING.to_owned()),
            ..VirtualMachineInstanceStatus::default()
        }),
        ..VirtualMachineInstance::default()
    }
}
