//! The instance that a machine's template describes.

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use api::names::{annotation, run_strategy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::vmi::template;

/// Makes the instance of a machine. Of the template's metadata only labels and annotations count.
pub fn instance(vm: &VirtualMachine, paused: bool) -> VirtualMachineInstance {
    let meta = &vm.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let owner = OwnerReference {
        api_version: "kubevirt.io/v1".to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: "VirtualMachine".to_owned(),
        name: name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
    };
    let mut instance = template::instance(&vm.spec.template, &name, meta.namespace.as_deref(), owner);
    let annotations = instance.metadata.annotations.get_or_insert_default();
    if let Some(generation) = meta.generation {
        annotations.insert(annotation::VM_GENERATION.to_owned(), generation.to_string());
    }
    if vm.spec.run_strategy.as_deref() == Some(run_strategy::WAIT_AS_RECEIVER) {
        annotations.insert(annotation::CREATE_MIGRATION_TARGET.to_owned(), "true".to_owned());
    }
    let places = meta.annotations.as_ref().and_then(|known| known.get_key_value(annotation::PLACES));
    annotations.extend(places.map(|(name, places)| (name.clone(), places.clone())));
    if paused {
        instance.spec.start_strategy = Some("Paused".to_owned());
    }
    instance
}
