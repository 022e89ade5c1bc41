//! Which resource a type is read from: group, version, kind and path.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// Names a resource of the API: everything that its URLs are made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// Version, such as `v1`.
    pub version: Cow<'static, str>,
    /// Kind, such as `Pod`.
    pub kind: Cow<'static, str>,
    /// Plural name, as in URLs.
    pub plural: Cow<'static, str>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// Describes a namespaced resource.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced: true,
        }
    }

    /// Describes a cluster-scoped resource.
    pub const fn cluster(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        let mut resource = Self::namespaced(group, version, kind, plural);
        resource.namespaced = false;
        resource
    }

    /// Returns `group/version`, or `version` alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Returns the URL path of the collection; an empty `namespace` means all namespaces.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api/" } else { "/apis/" };
        let version = self.api_version();
        if self.namespaced && !namespace.is_empty() {
            format!("{root}{version}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{root}{version}/{}", self.plural)
        }
    }
}

/// A type that objects of one resource are read into: the whole object, or a view with some of its fields.
///
/// A view costs what it keeps: fields it does not name are skipped while parsing. Implement it with
/// [`view!`](crate::view) for structs that have a `metadata: Meta` field.
pub trait Kind: Clone + DeserializeOwned + Send + Sync + 'static {
    /// Where objects of this type are found.
    const RESOURCE: Resource;

    /// Returns `metadata.name`, or the empty string.
    fn name(&self) -> &str;
    /// Returns `metadata.namespace`, or the empty string.
    fn namespace(&self) -> &str;
    /// Returns `metadata.uid`, or the empty string.
    fn uid(&self) -> &str;
    /// Returns `metadata.resourceVersion`, or the empty string.
    fn resource_version(&self) -> &str;

    /// Returns namespace and name.
    fn key(&self) -> crate::Key {
        crate::Key::new(self.namespace(), self.name())
    }
}

/// Implements [`Kind`] for a view: a struct with a field `metadata` of type [`Meta`](crate::Meta).
#[macro_export]
macro_rules! view {
    ($type:ty => $resource:expr) => {
        impl $crate::Kind for $type {
            const RESOURCE: $crate::Resource = $resource;
            fn name(&self) -> &str {
                &self.metadata.name
            }
            fn namespace(&self) -> &str {
                &self.metadata.namespace
            }
            fn uid(&self) -> &str {
                &self.metadata.uid
            }
            fn resource_version(&self) -> &str {
                &self.metadata.resource_version
            }
        }
    };
}

/// The resources that Ironclad's components name.
pub mod resources {
    use super::Resource;

    /// Namespaces.
    pub const NAMESPACE: Resource = Resource::cluster("", "v1", "Namespace", "namespaces");
    /// Nodes.
    pub const NODE: Resource = Resource::cluster("", "v1", "Node", "nodes");
    /// Pods.
    pub const POD: Resource = Resource::namespaced("", "v1", "Pod", "pods");
    /// ConfigMaps.
    pub const CONFIG_MAP: Resource = Resource::namespaced("", "v1", "ConfigMap", "configmaps");
    /// Secrets.
    pub const SECRET: Resource = Resource::namespaced("", "v1", "Secret", "secrets");
    /// Services.
    pub const SERVICE: Resource = Resource::namespaced("", "v1", "Service", "services");
    /// Endpoints.
    pub const ENDPOINTS: Resource = Resource::namespaced("", "v1", "Endpoints", "endpoints");
    /// EndpointSlices.
    pub const ENDPOINT_SLICE: Resource =
        Resource::namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
    /// NetworkPolicies.
    pub const NETWORK_POLICY: Resource =
        Resource::namespaced("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies");
    /// ServiceAccounts.
    pub const SERVICE_ACCOUNT: Resource = Resource::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
    /// PersistentVolumeClaims.
    pub const PERSISTENT_VOLUME_CLAIM: Resource =
        Resource::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
    /// PersistentVolumes.
    pub const PERSISTENT_VOLUME: Resource =
        Resource::cluster("", "v1", "PersistentVolume", "persistentvolumes");
    /// StorageClasses.
    pub const STORAGE_CLASS: Resource =
        Resource::cluster("storage.k8s.io", "v1", "StorageClass", "storageclasses");
    /// Events of the core group.
    pub const EVENT: Resource = Resource::namespaced("", "v1", "Event", "events");
    /// Leases.
    pub const LEASE: Resource = Resource::namespaced("coordination.k8s.io", "v1", "Lease", "leases");
    /// ControllerRevisions.
    pub const CONTROLLER_REVISION: Resource =
        Resource::namespaced("apps", "v1", "ControllerRevision", "controllerrevisions");
    /// CronJobs.
    pub const CRON_JOB: Resource = Resource::namespaced("batch", "v1", "CronJob", "cronjobs");
    /// DaemonSets.
    pub const DAEMON_SET: Resource = Resource::namespaced("apps", "v1", "DaemonSet", "daemonsets");
    /// Deployments.
    pub const DEPLOYMENT: Resource = Resource::namespaced("apps", "v1", "Deployment", "deployments");
    /// Jobs.
    pub const JOB: Resource = Resource::namespaced("batch", "v1", "Job", "jobs");
    /// PodDisruptionBudgets.
    pub const POD_DISRUPTION_BUDGET: Resource =
        Resource::namespaced("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
    /// ReplicaSets.
    pub const REPLICA_SET: Resource = Resource::namespaced("apps", "v1", "ReplicaSet", "replicasets");
    /// ReplicationControllers.
    pub const REPLICATION_CONTROLLER: Resource =
        Resource::namespaced("", "v1", "ReplicationController", "replicationcontrollers");
    /// StatefulSets.
    pub const STATEFUL_SET: Resource = Resource::namespaced("apps", "v1", "StatefulSet", "statefulsets");
    /// CustomResourceDefinitions.
    pub const CUSTOM_RESOURCE_DEFINITION: Resource = Resource::cluster(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    /// APIServices.
    pub const API_SERVICE: Resource =
        Resource::cluster("apiregistration.k8s.io", "v1", "APIService", "apiservices");
    /// VirtualMachines.
    pub const VIRTUAL_MACHINE: Resource =
        Resource::namespaced("kubevirt.io", "v1", "VirtualMachine", "virtualmachines");
    /// VirtualMachineInstances.
    pub const VIRTUAL_MACHINE_INSTANCE: Resource =
        Resource::namespaced("kubevirt.io", "v1", "VirtualMachineInstance", "virtualmachineinstances");
    /// VirtualMachineInstanceMigrations.
    pub const VIRTUAL_MACHINE_INSTANCE_MIGRATION: Resource = Resource::namespaced(
        "kubevirt.io",
        "v1",
        "VirtualMachineInstanceMigration",
        "virtualmachineinstancemigrations",
    );
    /// VirtualMachineInstanceReplicaSets.
    pub const VIRTUAL_MACHINE_INSTANCE_REPLICA_SET: Resource = Resource::namespaced(
        "kubevirt.io",
        "v1",
        "VirtualMachineInstanceReplicaSet",
        "virtualmachineinstancereplicasets",
    );
    /// VirtualMachinePools.
    pub const VIRTUAL_MACHINE_POOL: Resource =
        Resource::namespaced("pool.kubevirt.io", "v1beta1", "VirtualMachinePool", "virtualmachinepools");
    /// DataVolumes: claims that somebody fills.
    pub const DATA_VOLUME: Resource =
        Resource::namespaced("cdi.kubevirt.io", "v1beta1", "DataVolume", "datavolumes");
    /// Instance types of a namespace.
    pub const INSTANCETYPE: Resource = Resource::namespaced(
        "instancetype.kubevirt.io",
        "v1beta1",
        "VirtualMachineInstancetype",
        "virtualmachineinstancetypes",
    );
    /// Instance types of all namespaces.
    pub const CLUSTER_INSTANCETYPE: Resource = Resource::cluster(
        "instancetype.kubevirt.io",
        "v1beta1",
        "VirtualMachineClusterInstancetype",
        "virtualmachineclusterinstancetypes",
    );
    /// Preferences of a namespace.
    pub const PREFERENCE: Resource = Resource::namespaced(
        "instancetype.kubevirt.io",
        "v1beta1",
        "VirtualMachinePreference",
        "virtualmachinepreferences",
    );
    /// Preferences of all namespaces.
    pub const CLUSTER_PREFERENCE: Resource = Resource::cluster(
        "instancetype.kubevirt.io",
        "v1beta1",
        "VirtualMachineClusterPreference",
        "virtualmachineclusterpreferences",
    );
    /// What a machine may name by its kind: instance types and preferences.
    pub const NAMED: [Resource; 4] = [INSTANCETYPE, CLUSTER_INSTANCETYPE, PREFERENCE, CLUSTER_PREFERENCE];
    /// Settings for new instances by their labels.
    pub const PRESET: Resource = Resource::namespaced(
        "kubevirt.io",
        "v1",
        "VirtualMachineInstancePreset",
        "virtualmachineinstancepresets",
    );
    /// KubeVirt configuration objects.
    pub const KUBEVIRT: Resource = Resource::namespaced("kubevirt.io", "v1", "KubeVirt", "kubevirts");
}

#[cfg(test)]
mod tests {
    use super::resources;

    #[test]
    fn paths_follow_scope_and_group() {
        assert_eq!(resources::POD.path("a"), "/api/v1/namespaces/a/pods");
        assert_eq!(resources::POD.path(""), "/api/v1/pods");
        assert_eq!(resources::NODE.path("a"), "/api/v1/nodes");
        assert_eq!(resources::VIRTUAL_MACHINE.path("a"), "/apis/kubevirt.io/v1/namespaces/a/virtualmachines");
    }
}
