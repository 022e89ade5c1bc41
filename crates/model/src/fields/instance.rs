//! Fields of an instance's specification, and of a machine's template.

use super::State::Honoured;
use super::{Table, harmless, harmless_unless, only, refused};

const REMOVE: &str = "remove it";
const LATER: &str = "machines cannot do this yet";
const OTHER_VOLUME: &str = "use a containerDisk, an emptyDisk or cloudInitNoCloud";
const OTHER_BINDING: &str = "use masquerade on the Pod's network";
const SPEED_ONLY: &str = "it changes speed only, and the usual way is taken";

/// Paths below `spec` of an instance.
pub(super) const TABLE: Table = &[
    ("accessCredentials.sshPublicKey.source", Honoured),
    (
        "accessCredentials.sshPublicKey.propagationMethod.noCloud",
        Honoured,
    ),
    (
        "accessCredentials.sshPublicKey.propagationMethod.configDrive",
        refused(LATER, "use noCloud"),
    ),
    (
        "accessCredentials.sshPublicKey.propagationMethod.qemuGuestAgent",
        refused(LATER, "use noCloud"),
    ),
    (
        "accessCredentials.userPassword",
        refused(LATER, "set the password by cloud-init"),
    ),
    ("affinity", Honoured),
    ("architecture", Honoured),
    ("dnsConfig", Honoured),
    ("dnsPolicy", Honoured),
    ("domain.chassis.asset", Honoured),
    (
        "domain.chassis.manufacturer",
        harmless("the guest sees the system's manufacturer"),
    ),
    (
        "domain.chassis.serial",
        harmless("the guest sees the system's serial number"),
    ),
    ("domain.chassis.sku", harmless("the guest sees the system's SKU")),
    (
        "domain.chassis.version",
        harmless("the guest sees the system's version"),
    ),
    (
        "domain.clock.timer",
        harmless("the machine has the hypervisor's usual clocks"),
    ),
    (
        "domain.clock.timezone",
        refused(
            "a machine's clock follows UTC",
            "use clock.utc, or set the zone in the guest",
        ),
    ),
    ("domain.clock.utc", Honoured),
    ("domain.cpu.cores", Honoured),
    (
        "domain.cpu.dedicatedCpuPlacement",
        only(&["false"], "processors are shared", "remove it"),
    ),
    ("domain.cpu.features", Honoured),
    (
        "domain.cpu.isolateEmulatorThread",
        only(&["false"], "processors are shared", "remove it"),
    ),
    ("domain.cpu.maxSockets", Honoured),
    ("domain.cpu.model", Honoured),
    ("domain.cpu.numa", refused("processors are shared", REMOVE)),
    ("domain.cpu.realtime", refused("processors are shared", REMOVE)),
    ("domain.cpu.sockets", Honoured),
    ("domain.cpu.threads", Honoured),
    ("domain.devices.autoattachGraphicsDevice", Honoured),
    (
        "domain.devices.autoattachInputDevice",
        harmless_unless(&["false"], "a pointer follows with the graphical console"),
    ),
    ("domain.devices.autoattachMemBalloon", Honoured),
    ("domain.devices.autoattachPodInterface", Honoured),
    ("domain.devices.autoattachSerialConsole", Honoured),
    ("domain.devices.autoattachVSOCK", only(&["false"], LATER, REMOVE)),
    (
        "domain.devices.blockMultiQueue",
        harmless_unless(&["false"], SPEED_ONLY),
    ),
    ("domain.devices.clientPassthrough", refused(LATER, REMOVE)),
    ("domain.devices.disableHotplug", Honoured),
    (
        "domain.devices.disks.blockSize",
        refused("disks have blocks of 512 bytes", REMOVE),
    ),
    ("domain.devices.disks.bootOrder", Honoured),
    ("domain.devices.disks.cache", Honoured),
    (
        "domain.devices.disks.cdrom.bus",
        only(
            &["sata", "scsi"],
            "an optical drive stands on sata or scsi",
            "use sata",
        ),
    ),
    ("domain.devices.disks.cdrom.readonly", Honoured),
    (
        "domain.devices.disks.cdrom.tray",
        only(&["closed"], "a drive starts with its tray closed", "use closed"),
    ),
    (
        "domain.devices.disks.changedBlockTracking",
        harmless("changes are not tracked yet"),
    ),
    (
        "domain.devices.disks.dedicatedIOThread",
        harmless_unless(&["false"], SPEED_ONLY),
    ),
    ("domain.devices.disks.disk", Honoured),
    (
        "domain.devices.disks.errorPolicy",
        only(&["stop", "report", "ignore"], LATER, "use stop, report or ignore"),
    ),
    ("domain.devices.disks.io", harmless(SPEED_ONLY)),
    (
        "domain.devices.disks.lun",
        refused("a logical unit cannot be passed through yet", "use disk"),
    ),
    ("domain.devices.disks.name", Honoured),
    ("domain.devices.disks.serial", Honoured),
    (
        "domain.devices.disks.shareable",
        only(&["false"], "disks belong to one machine", REMOVE),
    ),
    ("domain.devices.disks.tag", harmless("the guest is not told")),
    ("domain.devices.downwardMetrics", refused(LATER, REMOVE)),
    (
        "domain.devices.filesystems",
        refused("folders cannot be shared with a guest yet", "use a disk"),
    ),
    (
        "domain.devices.gpus",
        refused("devices of the host cannot be passed through yet", REMOVE),
    ),
    (
        "domain.devices.hostDevices",
        refused("devices of the host cannot be passed through yet", REMOVE),
    ),
    (
        "domain.devices.inputs",
        harmless("a pointer follows with the graphical console"),
    ),
    (
        "domain.devices.interfaces.acpiIndex",
        refused(LATER, "name the interface in the guest by its hardware address"),
    ),
    (
        "domain.devices.interfaces.binding",
        refused("network plug-ins are not run yet", OTHER_BINDING),
    ),
    ("domain.devices.interfaces.bootOrder", Honoured),
    (
        "domain.devices.interfaces.bridge",
        refused("this binding is not there yet", OTHER_BINDING),
    ),
    ("domain.devices.interfaces.dhcpOptions", Honoured),
    ("domain.devices.interfaces.macAddress", Honoured),
    (
        "domain.devices.interfaces.macvtap",
        refused("this binding was discontinued", OTHER_BINDING),
    ),
    ("domain.devices.interfaces.masquerade", Honoured),
    (
        "domain.devices.interfaces.model",
        only(
            &["virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2k_pci"],
            LATER,
            "use virtio",
        ),
    ),
    ("domain.devices.interfaces.name", Honoured),
    (
        "domain.devices.interfaces.passt",
        refused("this binding was discontinued", OTHER_BINDING),
    ),
    (
        "domain.devices.interfaces.passtBinding",
        refused("this binding is not there yet", OTHER_BINDING),
    ),
    ("domain.devices.interfaces.pciAddress", Honoured),
    ("domain.devices.interfaces.ports", Honoured),
    (
        "domain.devices.interfaces.slirp",
        refused("this binding was discontinued", OTHER_BINDING),
    ),
    (
        "domain.devices.interfaces.sriov",
        refused("devices of the host cannot be passed through yet", OTHER_BINDING),
    ),
    ("domain.devices.interfaces.state", Honoured),
    ("domain.devices.interfaces.tag", harmless("the guest is not told")),
    (
        "domain.devices.logSerialConsole",
        harmless_unless(&["true"], "the serial console is always logged, within bounds"),
    ),
    (
        "domain.devices.networkInterfaceMultiqueue",
        harmless_unless(&["false"], SPEED_ONLY),
    ),
    ("domain.devices.panicDevices", refused(LATER, REMOVE)),
    ("domain.devices.rng", Honoured),
    ("domain.devices.sound", refused(LATER, REMOVE)),
    ("domain.devices.tpm", refused("a machine has no TPM yet", REMOVE)),
    (
        "domain.devices.useVirtioTransitional",
        only(&["false"], LATER, REMOVE),
    ),
    (
        "domain.devices.video",
        refused(LATER, "leave the choice of the graphics adapter open"),
    ),
    ("domain.devices.watchdog", refused(LATER, REMOVE)),
    ("domain.features.acpi", Honoured),
    (
        "domain.features.acpi.enabled",
        only(&["true"], "machines are shut down by ACPI", REMOVE),
    ),
    (
        "domain.features.apic",
        harmless("the machine has its usual interrupt controller"),
    ),
    (
        "domain.features.hyperv",
        harmless("it speeds Windows up; without it Windows runs all the same"),
    ),
    (
        "domain.features.hypervPassthrough",
        harmless("it speeds Windows up; without it Windows runs all the same"),
    ),
    ("domain.features.kvm", Honoured),
    (
        "domain.features.kvm.hidden",
        only(&["false"], "the hypervisor cannot be hidden yet", REMOVE),
    ),
    ("domain.features.pvspinlock", harmless(SPEED_ONLY)),
    ("domain.features.smm", Honoured),
    ("domain.firmware.acpi", refused(LATER, REMOVE)),
    (
        "domain.firmware.bootloader.bios.useSerial",
        harmless_unless(&["false"], "the firmware's own messages are not shown"),
    ),
    (
        "domain.firmware.bootloader.efi.persistent",
        only(&["false"], "firmware variables are not kept yet", REMOVE),
    ),
    ("domain.firmware.bootloader", Honoured),
    ("domain.firmware.kernelBoot", Honoured),
    ("domain.firmware.serial", Honoured),
    ("domain.firmware.uuid", Honoured),
    ("domain.ioThreads", harmless(SPEED_ONLY)),
    ("domain.ioThreadsPolicy", harmless(SPEED_ONLY)),
    (
        "domain.launchSecurity",
        refused("guests cannot be encrypted yet", REMOVE),
    ),
    ("domain.machine", Honoured),
    ("domain.memory.guest", Honoured),
    (
        "domain.memory.hugepages",
        refused("machines have ordinary pages", REMOVE),
    ),
    ("domain.memory.maxGuest", Honoured),
    ("domain.memory.reservedOverhead.addedOverhead", Honoured),
    (
        "domain.memory.reservedOverhead.memLock",
        only(&["NotRequired"], LATER, REMOVE),
    ),
    (
        "domain.rebootPolicy",
        only(
            &["Reboot"],
            "a guest that restarts goes on in the same machine",
            "use Reboot",
        ),
    ),
    ("domain.resources", Honoured),
    (
        "evictionStrategy",
        harmless_unless(&["None"], "machines do not move yet; a drain ends them"),
    ),
    ("hostname", Honoured),
    ("livenessProbe", harmless("guests are not probed yet")),
    (
        "networks.multus",
        refused("only the Pod's network is there yet", "use the Pod's network"),
    ),
    ("networks.name", Honoured),
    (
        "networks.pod.vmIPv6NetworkCIDR",
        harmless("machines get IPv4 addresses only"),
    ),
    ("networks.pod", Honoured),
    ("nodeSelector", Honoured),
    ("priorityClassName", Honoured),
    ("readinessProbe", harmless("guests are not probed yet")),
    (
        "resourceClaims",
        refused("devices of the host cannot be passed through yet", REMOVE),
    ),
    ("schedulerName", Honoured),
    ("startStrategy", Honoured),
    (
        "subdomain",
        harmless("machines have no names of their own in the cluster's DNS yet"),
    ),
    ("terminationGracePeriodSeconds", Honoured),
    ("tolerations", Honoured),
    (
        "topologySpreadConstraints",
        harmless("the built-in scheduler does not spread instances yet"),
    ),
    ("utilityVolumes", refused(LATER, REMOVE)),
    (
        "volumes.cloudInitConfigDrive",
        refused("seeds are made as NoCloud", "use cloudInitNoCloud"),
    ),
    ("volumes.cloudInitNoCloud", Honoured),
    ("volumes.configMap", refused(LATER, OTHER_VOLUME)),
    ("volumes.containerDisk", Honoured),
    ("volumes.containerPath", refused(LATER, OTHER_VOLUME)),
    (
        "volumes.dataVolume",
        refused("volumes are not filled from sources yet", OTHER_VOLUME),
    ),
    ("volumes.downwardAPI", refused(LATER, OTHER_VOLUME)),
    ("volumes.downwardMetrics", refused(LATER, REMOVE)),
    ("volumes.emptyDisk", Honoured),
    (
        "volumes.ephemeral",
        refused("claims are not given to machines yet", OTHER_VOLUME),
    ),
    ("volumes.hostDisk", refused(LATER, OTHER_VOLUME)),
    ("volumes.memoryDump", refused(LATER, REMOVE)),
    ("volumes.name", Honoured),
    (
        "volumes.persistentVolumeClaim",
        refused("claims are not given to machines yet", OTHER_VOLUME),
    ),
    ("volumes.secret", refused(LATER, OTHER_VOLUME)),
    ("volumes.serviceAccount", refused(LATER, OTHER_VOLUME)),
    ("volumes.sysprep", refused(LATER, OTHER_VOLUME)),
];
