//! Fields that people write and that the API does not have: older names, and names from articles.

/// Name of a field below the given one, and what to write instead.
const MISNOMERS: &[(&str, &str)] = &[
    (
        "configuration.hypervisorBackend",
        "the hypervisors are spec.configuration.hypervisors, a list; write `hypervisors: [{name: kvm}]`, and \
         featureGates below spec.configuration.developerConfiguration",
    ),
    (
        "cpu.numaTopologyPolicy",
        "a guest gets its host's memory nodes by spec.domain.cpu.numa.guestMappingPassthrough; write \
         `numa: {guestMappingPassthrough: {}}` with dedicatedCpuPlacement and memory.hugepages",
    ),
    ("cpu.count", "the number of processors is cpu.sockets times cpu.cores times cpu.threads; write `cores`"),
    ("cpu.vcpus", "the number of processors is cpu.sockets times cpu.cores times cpu.threads; write `cores`"),
    (
        "domain.vcpus",
        "the number of processors is domain.cpu.sockets times cores times threads; write `cpu: {cores: N}`",
    ),
    (
        "domain.cpus",
        "the number of processors is domain.cpu.sockets times cores times threads; write `cpu: {cores: N}`",
    ),
    ("memory.size", "what the guest sees is memory.guest"),
    (
        "disks.volumeName",
        "a disk belongs to the volume of its own name; write the same `name` in disks and in volumes",
    ),
    ("volumes.registryDisk", "it is called containerDisk now"),
    ("volumes.pvc", "write `persistentVolumeClaim: {claimName: NAME}`"),
    ("volumes.cloudInit", "write cloudInitNoCloud or cloudInitConfigDrive"),
    ("domain.evictionStrategy", "it stands beside domain, in the instance's spec"),
    ("domain.networks", "networks stand beside domain, in the instance's spec"),
    ("domain.volumes", "volumes stand beside domain, in the instance's spec"),
    ("devices.networks", "networks stand beside domain, in the instance's spec; devices has interfaces"),
    ("devices.volumes", "volumes stand beside domain, in the instance's spec; devices has disks"),
    ("spec.domain", "a VirtualMachine describes its instance in spec.template.spec; write domain there"),
    ("spec.volumes", "a VirtualMachine describes its instance in spec.template.spec; write volumes there"),
    ("spec.networks", "a VirtualMachine describes its instance in spec.template.spec; write networks there"),
];

/// Says what to write instead of the unknown field `path`, for example `spec.domain.devices.disks[0].volumeName`, where
/// that is known.
pub fn misnomer(path: &str) -> Option<&'static str> {
    let bare = |step: &str| step.split('[').next().unwrap_or_default().to_owned();
    let mut steps = path.rsplit('.').map(bare);
    let (name, above) = (steps.next()?, steps.next().unwrap_or_default());
    let written = format!("{above}.{name}");
    MISNOMERS.iter().find(|(wrong, _)| *wrong == written).map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_are_answered_with_the_true_names() {
        let numa = misnomer("spec.template.spec.domain.cpu.numaTopologyPolicy").unwrap();
        assert!(numa.contains("cpu.numa.guestMappingPassthrough"));
        assert!(
            misnomer("spec.configuration.hypervisorBackend")
                .unwrap()
                .contains("spec.configuration.hypervisors")
        );
        assert!(misnomer("spec.domain.devices.disks[3].volumeName").unwrap().contains("name"));
        assert_eq!(misnomer("spec.domain.devices.disks[3].nothing"), None);
        assert_eq!(misnomer(""), None);
    }
}
