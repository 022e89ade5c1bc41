//! The instance that a replica set's template describes.

use api::kubevirt::v1::{VirtualMachineInstance, VirtualMachineInstanceReplicaSet};
use k8s_openapi::Resource as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::name;
use crate::vmi::template;

/// Makes the instance `name` of a set. Of the template's metadata only labels and annotations count.
pub fn instance(set: &VirtualMachineInstanceReplicaSet, name: &str) -> VirtualMachineInstance {
    let meta = &set.metadata;
    let owner = OwnerReference {
        api_version: VirtualMachineInstanceReplicaSet::API_VERSION.to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: VirtualMachineInstanceReplicaSet::KIND.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
    };
    let mut made = template::instance(&set.spec.template, name, meta.namespace.as_deref(), owner);
    made.metadata.generate_name = name::generate_name(name);
    made
}
