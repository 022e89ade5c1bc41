//! Feature gates of an installation: which of those that it lists change something here.

use serde_json::Value;

use crate::config::ALWAYS_ON;

/// Where an installation lists its gates.
const AT: &str = "spec.configuration.developerConfiguration.featureGates";

/// Gates that switch something on.
const EFFECTIVE: &[&str] = &[
    "DecentralizedLiveMigration",
    "HostDisk",
    "ObjectGraph",
    "PanicDevices",
    "RebootPolicy",
    "ReservedOverheadMemlock",
    "VideoConfig",
];

/// Gates of what was given up; machines that use it are refused with them and without.
const DISCONTINUED: &[&str] = &["ExperimentalVirtiofsSupport", "Macvtap", "Passt", "PasstIPStackMigration"];

/// Gates of the reference (v1.8 and v1.9) for what nothing here does yet, or does without being asked.
const IDLE: &[&str] = &[
    "AlignCPUs",
    "CPUManager",
    "ConfigurableHypervisor",
    "ContainerPathVolumes",
    "CrossArchitectureVirtualization",
    "DeclarativeHotplugVolumes",
    "DisableMDEVConfiguration",
    "DockerSELinuxMCSWorkaround",
    "DownwardMetrics",
    "EnableVirtioFsStorageVolumes",
    "ExpandDisks",
    "ExperimentalIgnitionSupport",
    "ExternalNetResourceInjection",
    "FirmwareAutoSelection",
    "GPUsWithDRA",
    "GraceIOVirtualization",
    "HostDevices",
    "HostDevicesWithDRA",
    "HotplugVolumes",
    "HypervStrictCheck",
    "IOMMUFD",
    "ImageVolume",
    "IncrementalBackup",
    "KubevirtSeccompProfile",
    "LibvirtHooksServerAndClient",
    "LiveUpdateNADRef",
    "MigrationPriorityQueue",
    "MigrationStallDetection",
    "MultiArchitecture",
    "NetworkDevicesWithDRA",
    "NodeRestriction",
    "OCIExport",
    "OptOutRoleAggregation",
    "PCINUMAAwareTopology",
    "PasstBinding",
    "PersistentReservation",
    "Plugins",
    "PodSecondaryInterfaceNamingUpgrade",
    "PortRangesSpec",
    "Root",
    "SecureExecution",
    "Sidecar",
    "Snapshot",
    "Template",
    "UtilityVolumes",
    "VGPULiveMigration",
    "VMExport",
    "VMStatsCollector",
    "VSOCK",
    "VmiMemoryOverheadReport",
    "WorkloadEncryptionSEV",
    "WorkloadEncryptionTDX",
];

/// Returns a warning for each listed gate that changes nothing here.
pub(super) fn warnings(kubevirt: &Value) -> Vec<String> {
    let listed = kubevirt.pointer(&format!("/{}", AT.replace('.', "/")));
    let listed = listed.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let warned = listed.enumerate().filter_map(|(index, gate)| {
        let why = why_idle(gate)?;
        Some(format!("ironclad: {AT}[{index}] {gate:?} has no effect: {why}"))
    });
    warned.collect()
}

fn why_idle(gate: &str) -> Option<String> {
    if EFFECTIVE.contains(&gate) {
        return None;
    }
    Some(if ALWAYS_ON.contains(&gate) {
        "what it stands for is always on; remove it".to_owned()
    } else if DISCONTINUED.contains(&gate) {
        "what it stood for was given up; remove it".to_owned()
    } else if IDLE.contains(&gate) {
        "nothing here waits for it; docs/fields.md says what becomes of each field".to_owned()
    } else {
        let known = [EFFECTIVE, DISCONTINUED, IDLE, ALWAYS_ON.as_slice()].concat();
        match known.into_iter().find(|known| known.eq_ignore_ascii_case(gate)) {
            Some(known) => format!("there is no such gate; did you mean {known}?"),
            None => "there is no such gate; remove it".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gate_that_changes_nothing_is_told_of() {
        let listed = |gates: Value| {
            warnings(&json!({"spec": {"configuration": {"developerConfiguration": {"featureGates": gates}}}}))
        };
        assert_eq!(listed(json!(EFFECTIVE)), Vec::<String>::new());
        assert_eq!(warnings(&json!({"spec": {}})), Vec::<String>::new());
        let told = listed(json!(["HostDisk", "Typo", "hostdisk", "Sidecar", "LiveMigration", "Passt"]));
        for (told, (index, words)) in told.iter().zip([
            (1, "no such gate; remove it"),
            (2, "did you mean HostDisk?"),
            (3, "nothing here waits for it"),
            (4, "always on"),
            (5, "given up"),
        ]) {
            assert!(told.starts_with(&format!("ironclad: {AT}[{index}] ")) && told.contains(words), "{told}");
        }
        assert_eq!(told.len(), 5);
    }

    #[test]
    fn a_gate_is_in_one_list() {
        let mut all = [EFFECTIVE, DISCONTINUED, IDLE, ALWAYS_ON.as_slice()].concat();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
