//! The machines that are measured.

use serde_json::{Value, json};

/// First line that the guest's user space prints.
pub(crate) const FIRST_LINE: &str = "guest: userspace up";

/// Kernel command line, the same for us and for the peer. The kernel must not check its timer: with twenty emulators on
/// two processors a guest may miss the ten ticks that it waits for, and panics.
pub(crate) const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet no_timer_check";

/// Memory of a measured guest.
pub(crate) const MEMORY_MIB: u32 = 128;

/// Returns a VirtualMachine: a kernel, an initial RAM disk, a network and nothing else.
pub(crate) fn manifest(name: &str, run_strategy: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "runStrategy": run_strategy,
            "template": {"spec": {
                "terminationGracePeriodSeconds": 0,
                "domain": {
                    "memory": {"guest": format!("{MEMORY_MIB}Mi")},
                    // So that fifty fit on two processors.
                    "resources": {"requests": {"cpu": "20m"}},
                    "firmware": {"kernelBoot": {
                        "container": {
                            "image": "ironclad.local/guest-kernel:0.1.0",
                            "kernelPath": "/boot/vmlinuz",
                            "initrdPath": "/boot/initrd.gz",
                        },
                        "kernelArgs": KERNEL_ARGUMENTS,
                    }},
                    "devices": {
                        "autoattachGraphicsDevice": false,
                        "interfaces": [{"name": "default", "masquerade": {}}],
                    },
                },
                "networks": [{"name": "default", "pod": {}}],
            }},
        },
    })
}

/// Returns a VirtualMachine that runs once, has nothing to boot, and costs next to nothing.
pub(crate) fn idle(name: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "runStrategy": "Once",
            "template": {"spec": {
                "terminationGracePeriodSeconds": 0,
                "domain": {
                    "memory": {"guest": "32Mi"},
                    // As many as one likes fit on two processors.
                    "resources": {"requests": {"cpu": "10m"}},
                    "devices": {
                        "autoattachGraphicsDevice": false,
                        "disks": [{"name": "empty", "disk": {"bus": "virtio"}}],
                        "interfaces": [{"name": "default", "masquerade": {}}],
                    },
                },
                "networks": [{"name": "default", "pod": {}}],
                "volumes": [{"name": "empty", "emptyDisk": {"capacity": "1Mi"}}],
            }},
        },
    })
}
