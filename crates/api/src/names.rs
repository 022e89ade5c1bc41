//! Names with a meaning: labels, annotations, finalizers, condition types, reasons and phases.

/// Release of the API that is followed, as `kubevirt.io/v1` of this minor release.
pub const REFERENCE_VERSION: &str = "v1.8";

/// Labels.
pub mod label {
    /// Role of a Pod, for example `virt-launcher`.
    pub const APP: &str = "kubevirt.io";
    /// UID of the instance that a launcher Pod runs.
    pub const CREATED_BY: &str = "kubevirt.io/created-by";
    /// UID of the migration that a launcher Pod receives.
    pub const MIGRATION_JOB: &str = "kubevirt.io/migrationJobUID";
    /// Node that runs an instance.
    pub const NODE_NAME: &str = "kubevirt.io/nodeName";
    /// Node that will run an instance.
    pub const MIGRATION_TARGET_NODE_NAME: &str = "kubevirt.io/migrationTargetNodeName";
    /// On a node: whether instances may be placed on it.
    pub const SCHEDULABLE: &str = "kubevirt.io/schedulable";
    /// Name of the install strategy.
    pub const INSTALL_STRATEGY: &str = "kubevirt.io/install-strategy";
    /// Host name of the machine that a launcher Pod runs.
    pub const VM_NAME: &str = "vm.kubevirt.io/name";
    /// Shortened, safe name of an instance.
    pub const VMI_ID: &str = "vmi.kubevirt.io/id";
    /// Instance that a migration moves.
    pub const MIGRATION_VMI_NAME: &str = "kubevirt.io/vmi-name";
    /// Revision of a pool's template that a machine, or an instance of it, was made from.
    pub const POOL_REVISION: &str = "kubevirt.io/vm-pool-revision-name";
    /// Prefix: processor models that a node offers.
    pub const CPU_MODEL: &str = "cpu-model.node.kubevirt.io/";
    /// Prefix: processor features that a node offers.
    pub const CPU_FEATURE: &str = "cpu-feature.node.kubevirt.io/";
    /// Prefix: machine types that a node offers.
    pub const MACHINE_TYPE: &str = "machine-type.node.kubevirt.io/";
    /// On a node: whether it manages dedicated processors.
    pub const CPU_MANAGER: &str = "kubevirt.io/cpumanager";
    /// On a node: the architecture, as Kubernetes writes it.
    pub const ARCH: &str = "kubernetes.io/arch";

    /// Labels of an instance that only the installation's own accounts may set.
    pub const RESERVED: [&str; 6] =
        [CREATED_BY, MIGRATION_JOB, NODE_NAME, MIGRATION_TARGET_NODE_NAME, SCHEDULABLE, INSTALL_STRATEGY];
}

/// Annotations.
pub mod annotation {
    /// On a launcher Pod: name of the instance.
    pub const DOMAIN: &str = "kubevirt.io/domain";
    /// Layout of the PCI bus that a machine keeps.
    pub const PCI_TOPOLOGY_VERSION: &str = "kubevirt.io/pci-topology-version";
    /// Where a machine's devices stand, for its next instance. Our own.
    pub const PLACES: &str = "ironclad.local/places";
    /// On a Pod: its readiness gates that are open until somebody closes them, separated by commas. Our own.
    pub const OPEN_GATES: &str = "ironclad.local/open-gates";
    /// On what comes with the installation: the object's own name, which a copy under another name does not have.
    pub const BUNDLED: &str = "ironclad.local/bundled";
    /// Value of [`PCI_TOPOLOGY_VERSION`] for new machines.
    pub const PCI_TOPOLOGY_V3: &str = "v3";
    /// On a launcher Pod: the container that `kubectl logs` and `kubectl exec` take.
    pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
    /// On a launcher Pod: migration streams go through Unix sockets.
    pub const MIGRATION_TRANSPORT_UNIX: &str = "kubevirt.io/migrationTransportUnix";
    /// On a node: time of the agent's last sign of life.
    pub const HEARTBEAT: &str = "kubevirt.io/heartbeat";
    /// On an instance: generation of the machine that it was made from.
    pub const VM_GENERATION: &str = "kubevirt.io/vm-generation";
    /// Keep a launcher that failed, to look into it.
    pub const KEEP_LAUNCHER: &str = "kubevirt.io/keep-launcher-alive-after-failure";
    /// Sidecars that change a machine before it starts.
    pub const HOOK_SIDECARS: &str = "hooks.kubevirt.io/hookSidecars";
    /// Ignition document.
    pub const IGNITION: &str = "kubevirt.io/ignitiondata";
    /// Release of the API that last wrote the object.
    pub const OBSERVED_API_VERSION: &str = "kubevirt.io/latest-observed-api-version";
    /// First version that the object was stored in.
    pub const STORAGE_API_VERSION: &str = "kubevirt.io/storage-observed-api-version";
    /// Prefix: a preset that was applied.
    pub const PRESET: &str = "virtualmachinepreset.kubevirt.io/";
    /// The machine receives a migration instead of starting.
    pub const CREATE_MIGRATION_TARGET: &str = "kubevirt.io/create-migration-target";
    /// Of a machine that receives: the run strategy that it gets once its state has arrived.
    pub const RESTORE_RUN_STRATEGY: &str = "kubevirt.io/restore-run-strategy";
    /// Devices stand on the root complex instead of behind root ports.
    pub const PCI_ON_ROOT_COMPLEX: &str = "kubevirt.io/placePCIDevicesOnRootComplex";
    /// Manufacturer of the base board that firmware shows.
    pub const SMBIOS_BASE_BOARD: &str = "smbios.vm.kubevirt.io/baseBoardManufacturer";
}

/// Finalizers.
pub mod finalizer {
    /// Keeps an instance until its machine is gone.
    pub const INSTANCE: &str = "kubevirt.io/foregroundDeleteVirtualMachine";
    /// Keeps a `VirtualMachine` until its instance is gone.
    pub const VIRTUAL_MACHINE: &str = "kubevirt.io/virtualMachineControllerFinalize";
    /// Keeps a machine of a pool until the pool has let it go.
    pub const POOL: &str = "pool.kubevirt.io/finalizer";
    /// Keeps a migration until both sides are settled.
    pub const MIGRATION: &str = "kubevirt.io/migrationJobFinalize";
    /// Keeps the installation until everything is removed.
    pub const KUBEVIRT: &str = "foregroundDeleteKubeVirt";
}

/// Phases of a `VirtualMachineInstance`.
pub mod phase {
    /// Accepted; nothing has been done yet.
    pub const PENDING: &str = "Pending";
    /// The launcher Pod exists.
    pub const SCHEDULING: &str = "Scheduling";
    /// The launcher Pod runs; the node's agent has the instance.
    pub const SCHEDULED: &str = "Scheduled";
    /// The machine runs.
    pub const RUNNING: &str = "Running";
    /// The machine ended in order.
    pub const SUCCEEDED: &str = "Succeeded";
    /// The machine ended otherwise.
    pub const FAILED: &str = "Failed";
    /// The instance waits for its state from another cluster.
    pub const WAITING_FOR_SYNC: &str = "WaitingForSync";
    /// The node's agent has not been heard of.
    pub const UNKNOWN: &str = "Unknown";
}

/// Phases of a `VirtualMachineInstanceMigration`.
pub mod migration_phase {
    /// Accepted.
    pub const PENDING: &str = "Pending";
    /// The target Pod exists.
    pub const SCHEDULING: &str = "Scheduling";
    /// The target Pod runs.
    pub const SCHEDULED: &str = "Scheduled";
    /// The target node prepares.
    pub const PREPARING_TARGET: &str = "PreparingTarget";
    /// The target listens.
    pub const TARGET_READY: &str = "TargetReady";
    /// State is being sent.
    pub const RUNNING: &str = "Running";
    /// The machine runs on the target.
    pub const SUCCEEDED: &str = "Succeeded";
    /// The machine stayed where it was.
    pub const FAILED: &str = "Failed";
}

/// Condition types of machines and instances.
pub mod condition {
    /// The guest can be used.
    pub const READY: &str = "Ready";
    /// Of a launcher Pod: the guest does not stand still. A readiness gate, so that a paused machine leaves its Services.
    pub const UNPAUSED: &str = "kubevirt.io/virtual-machine-unpaused";
    /// Of a Pod on an embedded node: its liveness probe has failed, and it is being ended.
    pub const NOT_ALIVE: &str = "ironclad.local/not-alive";
    /// The Pod has a node.
    pub const POD_SCHEDULED: &str = "PodScheduled";
    /// Volumes are being filled.
    pub const PROVISIONING: &str = "Provisioning";
    /// The last attempt to bring about the specification succeeded.
    pub const SYNCHRONIZED: &str = "Synchronized";
    /// Processors stand still.
    pub const PAUSED: &str = "Paused";
    /// The guest agent answers.
    pub const AGENT_CONNECTED: &str = "AgentConnected";
    /// The guest agent is too old or too new.
    pub const AGENT_VERSION_NOT_SUPPORTED: &str = "AgentVersionNotSupported";
    /// Credentials in the guest are up to date.
    pub const ACCESS_CREDENTIALS_SYNCHRONIZED: &str = "AccessCredentialsSynchronized";
    /// The machine can move while it runs.
    pub const LIVE_MIGRATABLE: &str = "LiveMigratable";
    /// The machine's storage can move while it runs.
    pub const STORAGE_LIVE_MIGRATABLE: &str = "StorageLiveMigratable";
    /// Data volumes are filled.
    pub const DATA_VOLUMES_READY: &str = "DataVolumesReady";
    /// A migration would apply changes.
    pub const MIGRATION_REQUIRED: &str = "MigrationRequired";
    /// A drain asks the instance to leave its node.
    pub const EVICTION_REQUESTED: &str = "EvictionRequested";
    /// Of a machine: the last attempt to start, stop or change it failed.
    pub const FAILURE: &str = "Failure";
    /// Of a machine: the specification changed in what only a restart applies.
    pub const RESTART_REQUIRED: &str = "RestartRequired";
    /// Of a replica set or pool: what it keeps could not be made, removed or changed.
    pub const REPLICA_FAILURE: &str = "ReplicaFailure";
    /// Of a replica set or pool: what it keeps stays as it is.
    pub const REPLICA_PAUSED: &str = "ReplicaPaused";
    /// Of a machine: an operator has to look.
    pub const MANUAL_RECOVERY_REQUIRED: &str = "ManualRecoveryRequired";
    /// The machine executes, but its guest has shown no sign of life.
    pub const BOOTING: &str = "Booting";
    /// Of a node: its hypervisor can be used.
    pub const HYPERVISOR_AVAILABLE: &str = "HypervisorAvailable";
    /// Of a node: guests that its accelerator ran have shown no sign of life.
    pub const ACCELERATOR_SUSPECT: &str = "AcceleratorSuspect";
    /// Fields are set that nothing in this installation honours yet; the instance stays unscheduled.
    pub const UNSUPPORTED: &str = "Unsupported";
}

/// Reasons of conditions.
pub mod reason {
    /// No launcher Pod.
    pub const POD_NOT_EXISTS: &str = "PodNotExists";
    /// The launcher Pod is going.
    pub const POD_TERMINATING: &str = "PodTerminating";
    /// The launcher Pod does not say whether it is ready.
    pub const POD_CONDITION_MISSING: &str = "PodConditionMissing";
    /// The Pod runs, the guest does not.
    pub const GUEST_NOT_RUNNING: &str = "GuestNotRunning";
    /// A user paused the machine.
    pub const PAUSED_BY_USER: &str = "PausedByUser";
    /// An I/O error paused the machine.
    pub const PAUSED_IO_ERROR: &str = "PausedIOError";
    /// Fields are set that nothing honours yet.
    pub const UNSUPPORTED_FIELDS: &str = "UnsupportedFields";
    /// Creation failed.
    pub const FAILED_CREATE: &str = "FailedCreate";
    /// Deletion failed.
    pub const FAILED_DELETE: &str = "FailedDelete";
    /// Of a pool: machines could not be made.
    pub const FAILED_SCALE_OUT: &str = "FailedScaleOut";
    /// Of a pool: machines could not be removed.
    pub const FAILED_SCALE_IN: &str = "FailedScaleIn";
    /// Of a pool: machines could not be changed.
    pub const FAILED_UPDATE: &str = "FailedUpdate";
    /// Of a pool: revisions that nobody needs could not be removed.
    pub const FAILED_REVISION_PRUNING: &str = "FailedRevisionPruning";
    /// A claim that the specification names does not exist.
    pub const FAILED_PVC_NOT_FOUND: &str = "FailedPvcNotFound";
    /// Of a machine: its last instance failed.
    pub const INSTANCE_FAILED: &str = "InstanceFailed";
    /// The machine's disks cannot move.
    pub const DISKS_NOT_LIVE_MIGRATABLE: &str = "DisksNotLiveMigratable";
    /// The machine's interfaces cannot move.
    pub const INTERFACE_NOT_LIVE_MIGRATABLE: &str = "InterfaceNotLiveMigratable";
}

/// Reasons of Events.
pub mod event {
    /// Something was created.
    pub const SUCCESSFUL_CREATE: &str = "SuccessfulCreate";
    /// Something could not be created.
    pub const FAILED_CREATE: &str = "FailedCreate";
    /// Something was deleted.
    pub const SUCCESSFUL_DELETE: &str = "SuccessfulDelete";
    /// Something could not be deleted.
    pub const FAILED_DELETE: &str = "FailedDelete";
    /// Something was changed.
    pub const SUCCESSFUL_UPDATE: &str = "SuccessfulUpdate";
    /// Something could not be changed.
    pub const FAILED_UPDATE: &str = "FailedUpdate";
    /// A replica set or pool was told to leave what it keeps as it is.
    pub const SUCCESSFUL_PAUSED: &str = "SuccessfulPaused";
    /// A replica set goes on.
    pub const SUCCESSFUL_RESUMED: &str = "SuccessfulResumed";
    /// A pool goes on.
    pub const SUCCESSFUL_RESUME: &str = "SuccessfulResume";
    /// The node's agent received the instance.
    pub const SUCCESSFUL_HAND_OVER: &str = "SuccessfulHandOver";
    /// The machine was defined.
    pub const CREATED: &str = "Created";
    /// The machine started.
    pub const STARTED: &str = "Started";
    /// The processors were stopped.
    pub const PAUSED: &str = "Paused";
    /// The processors run again.
    pub const RESUMED: &str = "Resumed";
    /// The power button was pressed.
    pub const SHUTTING_DOWN: &str = "ShuttingDown";
    /// The machine stopped.
    pub const STOPPED: &str = "Stopped";
    /// The machine is gone.
    pub const DELETED: &str = "Deleted";
    /// Bringing about the specification failed.
    pub const SYNC_FAILED: &str = "SyncFailed";
    /// No node takes it.
    pub const FAILED_SCHEDULING: &str = "FailedScheduling";
    /// The guest's kernel panicked.
    pub const GUEST_PANICKED: &str = "GuestPanicked";
    /// The guest has shown no sign of life.
    pub const NO_BOOT_PROGRESS: &str = "NoBootProgress";
    /// A disk of the machine failed.
    pub const IO_ERROR: &str = "IOerror";
    /// The guest's agent set the credentials.
    pub const CREDENTIALS_SET: &str = "AccessCredentialsSyncSuccess";
    /// The guest's agent did not set the credentials.
    pub const CREDENTIALS_NOT_SET: &str = "AccessCredentialsSyncFailed";
}

/// `configuration.vmRolloutStrategy` of a `KubeVirt`.
pub mod rollout_strategy {
    /// Every change of a template waits for the next start.
    pub const STAGE: &str = "Stage";
}

/// Run strategies of a `VirtualMachine`.
pub mod run_strategy {
    /// A machine runs, whatever ends it.
    pub const ALWAYS: &str = "Always";
    /// No machine runs.
    pub const HALTED: &str = "Halted";
    /// A machine runs when it was asked to.
    pub const MANUAL: &str = "Manual";
    /// A machine that failed is started again; one that ended in order is not.
    pub const RERUN_ON_FAILURE: &str = "RerunOnFailure";
    /// A machine runs until it ends.
    pub const ONCE: &str = "Once";
    /// A machine waits for its state from another cluster.
    pub const WAIT_AS_RECEIVER: &str = "WaitAsReceiver";

    /// Every strategy.
    pub const ALL: [&str; 6] = [ALWAYS, HALTED, MANUAL, RERUN_ON_FAILURE, ONCE, WAIT_AS_RECEIVER];
}

/// Values of a machine's `status.printableStatus`.
pub mod printable_status {
    /// No instance, and none wanted.
    pub const STOPPED: &str = "Stopped";
    /// Volumes are being filled.
    pub const PROVISIONING: &str = "Provisioning";
    /// The instance is on its way.
    pub const STARTING: &str = "Starting";
    /// The guest runs.
    pub const RUNNING: &str = "Running";
    /// The guest stands still.
    pub const PAUSED: &str = "Paused";
    /// The instance is going.
    pub const STOPPING: &str = "Stopping";
    /// The machine itself is going.
    pub const TERMINATING: &str = "Terminating";
    /// The instance failed, and is started again later.
    pub const CRASH_LOOP_BACK_OFF: &str = "CrashLoopBackOff";
    /// The instance is moving.
    pub const MIGRATING: &str = "Migrating";
    /// Not known.
    pub const UNKNOWN: &str = "Unknown";
    /// No node can run it.
    pub const UNSCHEDULABLE: &str = "ErrorUnschedulable";
    /// An image could not be pulled.
    pub const ERR_IMAGE_PULL: &str = "ErrImagePull";
    /// An image could not be pulled; the next attempt waits.
    pub const IMAGE_PULL_BACK_OFF: &str = "ImagePullBackOff";
    /// A claim does not exist.
    pub const PVC_NOT_FOUND: &str = "ErrorPvcNotFound";
    /// A data volume failed.
    pub const DATA_VOLUME_ERROR: &str = "DataVolumeError";
    /// Claims are not bound yet.
    pub const WAITING_FOR_VOLUME_BINDING: &str = "WaitingForVolumeBinding";
    /// The machine waits for its state from another cluster.
    pub const WAITING_FOR_RECEIVER: &str = "WaitingForReceiver";
}

/// Accounts of the installation's own components.
pub mod account {
    /// Prefix of service accounts in the installation's namespace.
    pub const PREFIX: &str = "system:serviceaccount:kubevirt:";
    /// The API part.
    pub const API: &str = "system:serviceaccount:kubevirt:kubevirt-apiserver";
    /// The controllers.
    pub const CONTROLLER: &str = "system:serviceaccount:kubevirt:kubevirt-controller";
    /// The node's agent.
    pub const HANDLER: &str = "system:serviceaccount:kubevirt:kubevirt-handler";
    /// The operator.
    pub const OPERATOR: &str = "system:serviceaccount:kubevirt:kubevirt-operator";

    /// Returns whether a user is one of the installation's own components.
    pub fn is_own(user: &str) -> bool {
        [API, CONTROLLER, HANDLER, OPERATOR].contains(&user)
    }
}

/// Namespace that the installation lives in.
pub const NAMESPACE: &str = "kubevirt";
