//! What guests want: a preference for each system.

use serde_json::{Map, Value, json};

use super::object;
use System::{Legacy, Linux, Windows};
use Trait::{Dpdk, Efi, Emulated, IoThread, NoHole, Realtime, SecureBoot, Tablet, Tpm, Transitional, Virtio};

#[derive(Clone, Copy, PartialEq)]
enum System {
    Linux,
    Windows,
    /// From before virtio.
    Legacy,
}

/// What tells a guest from others of its system.
#[derive(Clone, Copy, PartialEq)]
enum Trait {
    /// Disks have a thread of their own.
    IoThread,
    /// It handles packets itself, with several queues.
    Dpdk,
    /// It works to deadlines, without what it does not need.
    Realtime,
    /// People sit before it.
    Tablet,
    /// Its drivers are of virtio's first version.
    Transitional,
    /// UEFI, which boots whatever is there.
    Efi,
    /// UEFI, which boots what is signed.
    SecureBoot,
    /// It wants a TPM that remembers, and firmware that does.
    Tpm,
    /// Its drivers are those of virtio.
    Virtio,
    /// It has drivers for this network card, and for SATA disks.
    Emulated(&'static str),
    /// It cannot address what stands above four gibibytes.
    NoHole,
}

/// Name, name for people, system, icon, tags, processors and memory that it requires, traits.
type Guest = (
    &'static str,
    &'static str,
    System,
    &'static str,
    &'static str,
    Option<(u32, &'static str)>,
    &'static [Trait],
);

#[rustfmt::skip]
const ALL: [Guest; 54] = [
    ("alpine", "Alpine", Linux, "alpine", "alpine", Some((1, "512Mi")), &[]),
    ("centos.stream10", "CentOS Stream 10", Linux, "centos", "linux,centos-stream", Some((1, "1.5Gi")), &[IoThread]),
    ("centos.stream10.desktop", "CentOS Stream 10", Linux, "centos", "linux,centos-stream", Some((1, "1.5Gi")), &[IoThread, Tablet]),
    ("centos.stream9", "CentOS Stream 9", Linux, "centos", "linux,centos-stream", Some((1, "1.5Gi")), &[IoThread]),
    ("centos.stream9.desktop", "CentOS Stream 9", Linux, "centos", "linux,centos-stream", Some((1, "1.5Gi")), &[IoThread, Tablet]),
    ("centos.stream9.dpdk", "CentOS Stream 9", Linux, "centos", "linux,centos-stream,dpdk", Some((8, "1.5Gi")), &[IoThread, Dpdk]),
    ("cirros", "Cirros", Linux, "cirros", "cirros", Some((1, "256Mi")), &[]),
    ("debian", "Debian", Linux, "debian", "debian", Some((1, "512Mi")), &[Efi]),
    ("fedora", "Fedora (amd64)", Linux, "fedora", "fedora", Some((1, "2Gi")), &[SecureBoot]),
    ("fedora.arm64", "Fedora (arm64)", Linux, "fedora", "fedora", Some((1, "2Gi")), &[]),
    ("fedora.s390x", "Fedora (s390x)", Linux, "fedora", "fedora", Some((1, "2Gi")), &[]),
    ("legacy", "Legacy Guest", Legacy, "other", "legacy", None, &[]),
    ("linux", "Linux Guest", Linux, "linux", "linux", None, &[]),
    ("linux.efi", "Linux EFI Guest", Linux, "linux", "linux-efi", None, &[Efi]),
    ("linux.virtiotransitional", "Linux Virtio Transitional Guest", Linux, "linux", "linux-virtio-transitional", None, &[Transitional]),
    ("opensuse.leap", "OpenSUSE Leap", Linux, "opensuse-leap", "opensuse.leap", Some((1, "2Gi")), &[]),
    ("opensuse.tumbleweed", "OpenSUSE Tumbleweed", Linux, "opensuse-tumbleweed", "opensuse.tumbleweed", Some((1, "2Gi")), &[]),
    ("oraclelinux", "Oracle Linux", Linux, "oracle", "oraclelinux", Some((2, "4Gi")), &[Efi]),
    ("rhel.10", "Red Hat Enterprise Linux 10 (amd64)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread, SecureBoot]),
    ("rhel.10.arm64", "Red Hat Enterprise Linux 10 (arm64)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread]),
    ("rhel.10.s390x", "Red Hat Enterprise Linux 10 (s390x)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread]),
    ("rhel.7", "Red Hat Enterprise Linux 7", Linux, "rhel", "linux,rhel", Some((1, "1Gi")), &[]),
    ("rhel.7.desktop", "Red Hat Enterprise Linux 7", Linux, "rhel", "linux,rhel", Some((1, "1Gi")), &[Tablet]),
    ("rhel.8", "Red Hat Enterprise Linux 8", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[]),
    ("rhel.8.desktop", "Red Hat Enterprise Linux 8", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[Tablet]),
    ("rhel.8.dpdk", "Red Hat Enterprise Linux 8", Linux, "rhel", "linux,rhel,dpdk", Some((8, "1.5Gi")), &[Dpdk]),
    ("rhel.9", "Red Hat Enterprise Linux 9 (amd64)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread, SecureBoot]),
    ("rhel.9.arm64", "Red Hat Enterprise Linux 9 (arm64)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread]),
    ("rhel.9.desktop", "Red Hat Enterprise Linux 9 Desktop (amd64)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread, Tablet, SecureBoot]),
    ("rhel.9.dpdk", "Red Hat Enterprise Linux 9 DPDK (amd64)", Linux, "rhel", "linux,rhel,dpdk", Some((8, "1.5Gi")), &[IoThread, Dpdk, SecureBoot]),
    ("rhel.9.realtime", "Red Hat Enterprise Linux 9 Realtime (amd64)", Linux, "rhel", "linux,rhel,realtime", Some((4, "4Gi")), &[IoThread, Realtime, SecureBoot]),
    ("rhel.9.s390x", "Red Hat Enterprise Linux 9 (s390x)", Linux, "rhel", "linux,rhel", Some((1, "1.5Gi")), &[IoThread]),
    ("sles", "SUSE Linux Enterprise Server", Linux, "sles", "sles", Some((1, "2Gi")), &[]),
    ("ubuntu", "Ubuntu", Linux, "ubuntu", "ubuntu", Some((1, "2Gi")), &[]),
    ("windows.10", "Microsoft Windows 10", Windows, "windows", "windows", Some((1, "2Gi")), &[Emulated("e1000e"), SecureBoot]),
    ("windows.10.virtio", "Microsoft Windows 10 (virtio)", Windows, "windows", "windows", Some((1, "2Gi")), &[Virtio, SecureBoot]),
    ("windows.11", "Microsoft Windows 11", Windows, "windows", "windows", Some((2, "4Gi")), &[Emulated("e1000e"), SecureBoot, Tpm]),
    ("windows.11.virtio", "Microsoft Windows 11 (virtio)", Windows, "windows", "windows", Some((2, "4Gi")), &[Virtio, SecureBoot, Tpm]),
    ("windows.2k12", "Microsoft Windows Server 2012/2012 R2", Windows, "windows", "windows", Some((1, "512Mi")), &[Emulated("e1000e")]),
    ("windows.2k12.virtio", "Microsoft Windows Server 2012/2012 R2 (virtio)", Windows, "windows", "windows", Some((1, "512Mi")), &[Virtio]),
    ("windows.2k16", "Microsoft Windows Server 2016", Windows, "windows", "windows", Some((1, "2Gi")), &[Emulated("e1000e"), SecureBoot]),
    ("windows.2k16.virtio", "Microsoft Windows Server 2016 (virtio)", Windows, "windows", "windows", Some((1, "2Gi")), &[Virtio, SecureBoot]),
    ("windows.2k19", "Microsoft Windows Server 2019", Windows, "windows", "windows", Some((1, "2Gi")), &[Emulated("e1000e"), SecureBoot]),
    ("windows.2k19.virtio", "Microsoft Windows Server 2019 (virtio)", Windows, "windows", "windows", Some((1, "2Gi")), &[Virtio, SecureBoot]),
    ("windows.2k22", "Microsoft Windows Server 2022", Windows, "windows", "windows", Some((1, "2Gi")), &[Emulated("e1000e"), SecureBoot, Tpm]),
    ("windows.2k22.virtio", "Microsoft Windows Server 2022 (virtio)", Windows, "windows", "windows", Some((1, "2Gi")), &[Virtio, SecureBoot, Tpm]),
    ("windows.2k25", "Microsoft Windows Server 2025", Windows, "windows", "windows", Some((1, "2Gi")), &[Emulated("e1000e"), SecureBoot, Tpm]),
    ("windows.2k25.virtio", "Microsoft Windows Server 2025 (virtio)", Windows, "windows", "windows", Some((1, "2Gi")), &[Virtio, SecureBoot, Tpm]),
    ("windows.2k3", "Microsoft Windows Server 2003", Windows, "windows", "windows", Some((1, "256Mi")), &[Emulated("rtl8139"), NoHole]),
    ("windows.2k8", "Microsoft Windows Server 2008/2008 R2", Windows, "windows", "windows", Some((1, "512Mi")), &[Emulated("e1000")]),
    ("windows.2k8.virtio", "Microsoft Windows Server 2008/2008 R2 (virtio)", Windows, "windows", "windows", Some((1, "512Mi")), &[Virtio]),
    ("windows.7", "Microsoft Windows 7", Windows, "windows", "windows", Some((1, "2Gi")), &[Emulated("e1000e")]),
    ("windows.7.virtio", "Microsoft Windows 7 (virtio)", Windows, "windows", "windows", Some((1, "2Gi")), &[Virtio]),
    ("windows.xp", "Microsoft Windows XP", Windows, "windows", "windows", Some((1, "128Mi")), &[Emulated("e1000e"), NoHole]),
];

/// Returns the `VirtualMachineClusterPreference`s that come with an installation.
pub fn preferences() -> Vec<Value> {
    ALL.iter().map(preference).collect()
}

fn preference((name, display, system, icon, tags, requirements, traits): &Guest) -> Value {
    let word = match system {
        Linux => "linux",
        Windows => "windows",
        Legacy => "legacy",
    };
    let mut spec = match system {
        Linux => json!({"devices": {
            "preferredDiskBus": "virtio", "preferredInterfaceModel": "virtio", "preferredRng": {},
        }}),
        Windows => windows(),
        Legacy => json!({"devices": {"preferredDiskBus": "sata", "preferredInterfaceModel": "e1000"}}),
    };
    spec["annotations"] = json!({"vm.kubevirt.io/os": word});
    for own in *traits {
        own.put(&mut spec);
    }
    let mut labels = vec![("os-type", word)];
    for arch in ["amd64", "arm64", "s390x"] {
        if display.ends_with(&format!("({arch})")) {
            labels.push(("arch", arch));
        }
    }
    let count = requirements.map(|(cpus, _)| cpus.to_string());
    if let (Some((cpus, memory)), Some(count)) = (requirements, &count) {
        spec["requirements"] = json!({"cpu": {"guest": cpus}, "memory": {"guest": memory}});
        labels.extend([("required-cpu", count.as_str()), ("required-memory", memory)]);
    }
    let annotations = Map::from_iter([
        ("iconClass".to_owned(), format!("icon-{icon}").into()),
        ("openshift.io/display-name".to_owned(), (*display).into()),
        ("openshift.io/provider-display-name".to_owned(), "KubeVirt".into()),
        ("tags".to_owned(), format!("hidden,kubevirt,{tags}").into()),
    ]);
    object("VirtualMachineClusterPreference", name, &labels, annotations, spec)
}

/// What every Windows wants: its clock's ways, the enlightenments of Hyper-V, and time to shut down.
fn windows() -> Value {
    let enlightenments = [
        "frequencies",
        "ipi",
        "reenlightenment",
        "relaxed",
        "reset",
        "runtime",
        "synic",
        "tlbflush",
        "vapic",
        "vpindex",
    ];
    let mut hyperv: Map<String, Value> =
        enlightenments.into_iter().map(|name| (name.to_owned(), json!({}))).collect();
    hyperv.insert("spinlocks".to_owned(), json!({"spinlocks": 8191}));
    hyperv.insert("synictimer".to_owned(), json!({"direct": {}}));
    json!({
        "clock": {
            "preferredClockOffset": {"utc": {}},
            "preferredTimer": {
                "hpet": {"present": false},
                "hyperv": {},
                "pit": {"tickPolicy": "delay"},
                "rtc": {"tickPolicy": "catchup"},
            },
        },
        "cpu": {"preferredCPUTopology": "sockets"},
        "devices": {"preferredAutoattachInputDevice": true},
        "features": {"preferredAcpi": {}, "preferredApic": {}, "preferredHyperv": hyperv},
        "preferredTerminationGracePeriodSeconds": 3600,
    })
}

impl Trait {
    /// Adds to a specification what this wants.
    fn put(self, spec: &mut Value) {
        let spread = json!({"across": "SocketsCoresThreads"});
        let devices = &mut spec["devices"];
        match self {
            IoThread => devices["preferredDiskDedicatedIoThread"] = json!(true),
            Dpdk => {
                devices["preferredNetworkInterfaceMultiQueue"] = json!(true);
                spec["cpu"] = json!({"preferredCPUTopology": "spread", "spreadOptions": spread});
                spec["cpu"]["spreadOptions"]["ratio"] = json!(4);
            }
            Realtime => {
                devices["preferredNetworkInterfaceMultiQueue"] = json!(true);
                devices["preferredAutoattachGraphicsDevice"] = json!(false);
                devices["preferredAutoattachMemBalloon"] = json!(false);
                devices["preferredAutoattachSerialConsole"] = json!(true);
                spec["cpu"] = json!({"preferredCPUTopology": "spread", "spreadOptions": spread});
            }
            Tablet => tablet(devices),
            Transitional => devices["preferredUseVirtioTransitional"] = json!(true),
            Efi => spec["firmware"] = json!({"preferredEfi": {"secureBoot": false}}),
            SecureBoot => {
                spec["firmware"] = json!({"preferredEfi": {"secureBoot": true}});
                spec["features"]["preferredSmm"] = json!({});
            }
            Tpm => {
                devices["preferredTPM"] = json!({"persistent": true});
                spec["firmware"]["preferredEfi"]["persistent"] = json!(true);
            }
            Virtio => {
                devices["preferredDiskBus"] = json!("virtio");
                devices["preferredInterfaceModel"] = json!("virtio");
                tablet(devices);
            }
            Emulated(model) => {
                devices["preferredDiskBus"] = json!("sata");
                devices["preferredInterfaceModel"] = json!(model);
            }
            NoHole => spec["annotations"]["kubevirt.io/disablePCIHole64"] = json!("true"),
        }
    }
}

fn tablet(devices: &mut Value) {
    devices["preferredAutoattachInputDevice"] = json!(true);
    devices["preferredInputBus"] = json!("virtio");
    devices["preferredInputType"] = json!("tablet");
}
