//! [`Kind`] for the whole built-in types and for Ironclad's own.

use api::kubevirt::v1::{
    KubeVirt, VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceMigration,
    VirtualMachineInstanceReplicaSet,
};
use api::pool::v1beta1::VirtualMachinePool;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret,
    Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::{Kind, Resource, resources};

/// Implements [`Kind`] for types with a k8s-openapi `metadata`.
macro_rules! whole {
    ($($type:ty => $resource:ident,)*) => {
        $(impl Kind for $type {
            const RESOURCE: Resource = resources::$resource;
            fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }
            fn namespace(&self) -> &str {
                self.metadata.namespace.as_deref().unwrap_or_default()
            }
            fn uid(&self) -> &str {
                self.metadata.uid.as_deref().unwrap_or_default()
            }
            fn resource_version(&self) -> &str {
                self.metadata.resource_version.as_deref().unwrap_or_default()
            }
        })*
    };
}

whole! {
    ConfigMap => CONFIG_MAP,
    ControllerRevision => CONTROLLER_REVISION,
    Endpoints => ENDPOINTS,
    EndpointSlice => ENDPOINT_SLICE,
    Event => EVENT,
    KubeVirt => KUBEVIRT,
    Lease => LEASE,
    Namespace => NAMESPACE,
    NetworkPolicy => NETWORK_POLICY,
    Node => NODE,
    PersistentVolume => PERSISTENT_VOLUME,
    PersistentVolumeClaim => PERSISTENT_VOLUME_CLAIM,
    Pod => POD,
    Secret => SECRET,
    Service => SERVICE,
    ServiceAccount => SERVICE_ACCOUNT,
    StorageClass => STORAGE_CLASS,
    VirtualMachine => VIRTUAL_MACHINE,
    VirtualMachineInstance => VIRTUAL_MACHINE_INSTANCE,
    VirtualMachineInstanceMigration => VIRTUAL_MACHINE_INSTANCE_MIGRATION,
    VirtualMachineInstanceReplicaSet => VIRTUAL_MACHINE_INSTANCE_REPLICA_SET,
    VirtualMachinePool => VIRTUAL_MACHINE_POOL,
}
