//! Disks for volumes that have none, their buses, image pull policies, small devices.

use std::collections::BTreeSet;

use api::kubevirt::v1::{
    ContainerDiskSource, Devices, Diag288Watchdog, Disk, DiskTarget, I6300ESBWatchdog,
    VirtualMachineInstanceSpec,
};

pub(super) fn fill(spec: &mut VirtualMachineInstanceSpec, architecture: &str) {
    pull_policies(spec);
    implicit_disks(spec);
    let devices = &mut spec.domain.devices;
    for disk in &mut devices.disks {
        target(disk, architecture);
    }
    for input in &mut devices.inputs {
        if input.bus.as_deref().is_none_or(str::is_empty) {
            input.bus = Some("usb".to_owned());
        }
        if input.type_.is_empty() {
            "tablet".clone_into(&mut input.type_);
        }
    }
    watchdog(devices, architecture);
}

pub(super) fn pull_policies(spec: &mut VirtualMachineInstanceSpec) {
    for volume in &mut spec.volumes {
        if let Some(source) = &mut volume.container_disk {
            pull_policy(source);
        }
    }
    if let Some(container) = spec
        .domain
        .firmware
        .as_mut()
        .and_then(|firmware| firmware.kernel_boot.as_mut())
        .and_then(|kernel_boot| kernel_boot.container.as_mut())
        && super::is_empty(container.image_pull_policy.as_deref())
    {
        container.image_pull_policy = Some(policy_for(&container.image).to_owned());
    }
}

fn pull_policy(source: &mut ContainerDiskSource) {
    if super::is_empty(source.image_pull_policy.as_deref()) {
        source.image_pull_policy = Some(policy_for(&source.image).to_owned());
    }
}

/// A reference that may mean another image tomorrow is pulled every time.
fn policy_for(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// Every volume without a disk or file system gets a disk.
pub(super) fn implicit_disks(spec: &mut VirtualMachineInstanceSpec) {
    let devices = &mut spec.domain.devices;
    let mut used: BTreeSet<String> = devices.disks.iter().map(|disk| disk.name.clone()).collect();
    used.extend(devices.filesystems.iter().map(|filesystem| filesystem.name.clone()));
    for volume in &spec.volumes {
        if volume.memory_dump.is_none() && !used.contains(&volume.name) {
            devices.disks.push(Disk { name: volume.name.clone(), ..Disk::default() });
        }
    }
}

fn target(disk: &mut Disk, architecture: &str) {
    let bus = if architecture == "amd64" { "sata" } else { "virtio" };
    let open = |own: &Option<String>| own.as_deref().is_none_or(str::is_empty);
    if let Some(cdrom) = &mut disk.cdrom {
        if open(&cdrom.bus) {
            let bus = if architecture == "amd64" { "sata" } else { "scsi" };
            cdrom.bus = Some(bus.to_owned());
        }
        cdrom.readonly.get_or_insert(true);
        if open(&cdrom.tray) {
            cdrom.tray = Some("closed".to_owned());
        }
    } else if let Some(lun) = &mut disk.lun {
        if open(&lun.bus) {
            lun.bus = Some(bus.to_owned());
        }
    } else {
        let target = disk.disk.get_or_insert_with(DiskTarget::default);
        if open(&target.bus) {
            target.bus = Some(bus.to_owned());
        }
    }
}

fn watchdog(devices: &mut Devices, architecture: &str) {
    let Some(watchdog) = &mut devices.watchdog else {
        return;
    };
    if watchdog.i6300esb.is_none() && watchdog.diag288.is_none() {
        match architecture {
            "amd64" => watchdog.i6300esb = Some(I6300ESBWatchdog::default()),
            "s390x" => watchdog.diag288 = Some(Diag288Watchdog::default()),
            _ => {}
        }
    }
    let reset = |action: &mut Option<String>| {
        if action.as_deref().is_none_or(str::is_empty) {
            *action = Some("reset".to_owned());
        }
    };
    if let Some(device) = &mut watchdog.i6300esb {
        reset(&mut device.action);
    }
    if let Some(device) = &mut watchdog.diag288 {
        reset(&mut device.action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_move_are_pulled_every_time() {
        for (image, policy) in [
            ("example.test/disk", "Always"),
            ("example.test/disk:latest", "Always"),
            ("example.test:5000/disk", "Always"),
            ("example.test:5000/disk:v1", "IfNotPresent"),
            ("example.test/disk@sha256:aa", "IfNotPresent"),
        ] {
            assert_eq!(policy_for(image), policy, "{image}");
        }
    }
}
