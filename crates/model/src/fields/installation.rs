//! Fields of a `KubeVirt` object.

use api::names::rollout_strategy;

use super::State::Honoured;
use super::{Table, harmless, harmless_unless};

const OPERATOR: &str = "this installation is not managed by the operator";
const UNUSED: &str = "nothing in this release uses it yet";
/// What has parts, none of them set: typed clients write it without being asked.
const EMPTY: &[&str] = &["{}"];

/// Paths below `spec` of an installation.
pub(super) const TABLE: Table = &[
    ("certificateRotateStrategy", harmless_unless(EMPTY, OPERATOR)),
    ("configuration", harmless(UNUSED)),
    ("configuration.additionalGuestMemoryOverheadRatio", Honoured),
    ("configuration.architectureConfiguration.amd64.emulatedMachines", Honoured),
    ("configuration.architectureConfiguration.amd64.machineType", Honoured),
    ("configuration.architectureConfiguration.arm64.emulatedMachines", Honoured),
    ("configuration.architectureConfiguration.arm64.machineType", Honoured),
    ("configuration.architectureConfiguration.defaultArchitecture", Honoured),
    ("configuration.architectureConfiguration.s390x.emulatedMachines", Honoured),
    ("configuration.architectureConfiguration.s390x.machineType", Honoured),
    ("configuration.autoCPULimitNamespaceLabelSelector", Honoured),
    ("configuration.commonInstancetypesDeployment.enabled", Honoured),
    ("configuration.cpuModel", Honoured),
    ("configuration.cpuRequest", Honoured),
    ("configuration.defaultRuntimeClass", Honoured),
    ("configuration.developerConfiguration.cpuAllocationRatio", Honoured),
    (
        "configuration.developerConfiguration.disabledFeatureGates",
        harmless("gates are off unless featureGates lists them"),
    ),
    ("configuration.developerConfiguration.featureGates", Honoured),
    ("configuration.developerConfiguration.memoryOvercommit", Honoured),
    ("configuration.developerConfiguration.nodeSelectors", Honoured),
    ("configuration.developerConfiguration.useEmulation", Honoured),
    ("configuration.emulatedMachines", Honoured),
    ("configuration.evictionStrategy", Honoured),
    ("configuration.imagePullPolicy", Honoured),
    ("configuration.instancetype.referencePolicy", Honoured),
    ("configuration.liveUpdateConfiguration", Honoured),
    ("configuration.machineType", Honoured),
    ("configuration.network.defaultNetworkInterface", Honoured),
    ("configuration.network.permitBridgeInterfaceOnPodNetwork", Honoured),
    ("configuration.roleAggregationStrategy", harmless(OPERATOR)),
    ("configuration.supportContainerResources", Honoured),
    ("configuration.virtualMachineOptions.disableSerialConsoleLog", Honoured),
    (
        "configuration.vmRolloutStrategy",
        harmless_unless(
            &[rollout_strategy::STAGE],
            "where a machine may run, and whether its interfaces' cables are connected, follows its template at once; other changes wait for the next start, as RestartRequired says",
        ),
    ),
    ("configuration.vmStateStorageClass", Honoured),
    ("customizeComponents", harmless_unless(EMPTY, OPERATOR)),
    ("imagePullPolicy", harmless(OPERATOR)),
    ("imagePullSecrets", harmless(OPERATOR)),
    ("imageRegistry", harmless(OPERATOR)),
    ("imageTag", harmless(OPERATOR)),
    ("infra", harmless(OPERATOR)),
    ("monitorAccount", harmless(OPERATOR)),
    ("monitorNamespace", harmless(OPERATOR)),
    ("productComponent", harmless(OPERATOR)),
    ("productName", harmless(OPERATOR)),
    ("productVersion", harmless(OPERATOR)),
    ("serviceMonitorNamespace", harmless(OPERATOR)),
    ("synchronizationPort", harmless(OPERATOR)),
    (
        "uninstallStrategy",
        harmless_unless(
            &["BlockUninstallIfWorkloadsExist"],
            "machines are not removed with this object: it cannot be deleted while there are any",
        ),
    ),
    ("workloadUpdateStrategy", harmless_unless(EMPTY, OPERATOR)),
    ("workloads", harmless(OPERATOR)),
];
