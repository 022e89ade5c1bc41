//! The instance that a machine's template describes.

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceStatus};
use api::names::{annotation, phase, run_strategy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::vmi::launcher::INSTANCE_FINALIZERS;

/// Makes the instance of a machine. Of the template's metadata only labels and annotations count.
pub fn instance(vm: &VirtualMachine, paused: bool) -> VirtualMachineInstance {
    let meta = &vm.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let template = &vm.spec.template;
    let mut annotations = template.metadata.annotations.clone().unwrap_or_default();
    if let Some(generation) = meta.generation {
        annotations.insert(annotation::VM_GENERATION.to_owned(), generation.to_string());
    }
    annotations.extend(crate::version::annotations());
    if vm.spec.run_strategy.as_deref() == Some(run_strategy::WAIT_AS_RECEIVER) {
        annotations.insert(annotation::CREATE_MIGRATION_TARGET.to_owned(), "true".to_owned());
    }
    let places = meta.annotations.as_ref().and_then(|known| known.get_key_value(annotation::PLACES));
    annotations.extend(places.map(|(name, places)| (name.clone(), places.clone())));
    let mut spec = template.spec.clone().unwrap_or_default();
    if paused {
        spec.start_strategy = Some("Paused".to_owned());
    }
    VirtualMachineInstance {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: meta.namespace.clone(),
            labels: template.metadata.labels.clone(),
            annotations: Some(annotations),
            finalizers: Some(INSTANCE_FINALIZERS.map(str::to_owned).to_vec()),
            owner_references: Some(vec![OwnerReference {
                api_version: "kubevirt.io/v1".to_owned(),
                block_owner_deletion: Some(true),
                controller: Some(true),
                kind: "VirtualMachine".to_owned(),
                name,
                uid: meta.uid.clone().unwrap_or_default(),
            }]),
            ..ObjectMeta::default()
        },
        spec,
        // Instances have no status subresource, so the first phase comes with the creation.
        status: Some(VirtualMachineInstanceStatus {
            phase: Some(phase::PENDING.to_owned()),
            ..VirtualMachineInstanceStatus::default()
        }),
        ..VirtualMachineInstance::default()
    }
}
