//! What a preference advises: it counts where the machine is silent.

use api::instancetype::v1beta1::{
    ClockPreferences, DevicePreferences, FeaturePreferences, FirmwarePreferences,
    VirtualMachinePreferenceSpec,
};
use api::kubevirt::v1::{
    CPUFeature, Clock, Devices, Disk, DiskTarget, DomainSpec, FeatureHyperv, Firmware, Interface,
    VirtualMachineInstanceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(super) fn apply(
    preference: &VirtualMachinePreferenceSpec,
    metadata: &mut ObjectMeta,
    spec: &mut VirtualMachineInstanceSpec,
) {
    if let Some(cpu) = &preference.cpu {
        cpu_features(&cpu.preferred_cpu_features, &mut spec.domain);
    }
    if let Some(preferred) = &preference.devices {
        interfaces(preferred, spec);
        devices(preferred, &mut spec.domain.devices);
    }
    if let Some(preferred) = &preference.features {
        features(preferred, &mut spec.domain);
    }
    if let Some(preferred) = &preference.firmware {
        firmware(preferred, &mut spec.domain);
    }
    if let Some(preferred) = preference.machine.as_ref().and_then(|own| own.preferred_machine_type.as_ref()) {
        advise_text(&mut spec.domain.machine.get_or_insert_default().type_, Some(preferred));
    }
    if let Some(preferred) = &preference.clock {
        clock(preferred, &mut spec.domain);
    }
    advise_text(&mut spec.subdomain, preference.preferred_subdomain.as_ref());
    let grace = preference.preferred_termination_grace_period_seconds.as_ref();
    advise(&mut spec.termination_grace_period_seconds, grace);
    if !preference.annotations.is_empty() {
        let own = metadata.annotations.get_or_insert_default();
        for (name, value) in &preference.annotations {
            own.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn advise<T: Clone>(own: &mut Option<T>, preferred: Option<&T>) {
    if own.is_none() {
        *own = preferred.cloned();
    }
}

/// As `advise`; an empty text says nothing either.
fn advise_text(own: &mut Option<String>, preferred: Option<&String>) {
    if own.as_deref().is_none_or(str::is_empty)
        && let Some(preferred) = preferred.filter(|text| !text.is_empty())
    {
        *own = Some(preferred.clone());
    }
}

fn cpu_features(preferred: &[CPUFeature], domain: &mut DomainSpec) {
    if preferred.is_empty() {
        return;
    }
    let own = &mut domain.cpu.get_or_insert_default().features;
    for feature in preferred {
        if !own.iter().any(|known| known.name == feature.name) {
            own.push(feature.clone());
        }
    }
}

fn interfaces(preferred: &DevicePreferences, spec: &mut VirtualMachineInstanceSpec) {
    let networks = &spec.networks;
    for interface in &mut spec.domain.devices.interfaces {
        advise_text(&mut interface.model, preferred.preferred_interface_model.as_ref());
        let on_pod = networks.iter().any(|net| net.name == interface.name && net.pod.is_some());
        if on_pod && is_unbound(interface) {
            advise(&mut interface.masquerade, preferred.preferred_interface_masquerade.as_ref());
        }
    }
}

fn is_unbound(interface: &Interface) -> bool {
    interface.binding.is_none()
        && interface.bridge.is_none()
        && interface.masquerade.is_none()
        && interface.sriov.is_none()
        && interface.passt_binding.is_none()
        && interface.passt.is_none()
        && interface.slirp.is_none()
        && interface.macvtap.is_none()
}

fn devices(preferred: &DevicePreferences, own: &mut Devices) {
    advise(&mut own.autoattach_graphics_device, preferred.preferred_autoattach_graphics_device.as_ref());
    advise(&mut own.autoattach_mem_balloon, preferred.preferred_autoattach_mem_balloon.as_ref());
    advise(&mut own.autoattach_serial_console, preferred.preferred_autoattach_serial_console.as_ref());
    advise(&mut own.autoattach_input_device, preferred.preferred_autoattach_input_device.as_ref());
    advise(&mut own.disable_hotplug, preferred.preferred_disable_hotplug.as_ref());
    advise(&mut own.use_virtio_transitional, preferred.preferred_use_virtio_transitional.as_ref());
    advise(&mut own.block_multi_queue, preferred.preferred_block_multi_queue.as_ref());
    let queues = preferred.preferred_network_interface_multi_queue.as_ref();
    advise(&mut own.network_interface_multiqueue, queues);
    advise(&mut own.rng, preferred.preferred_rng.as_ref());
    advise(&mut own.tpm, preferred.preferred_tpm.as_ref());
    if let Some(sound) = &mut own.sound {
        advise_text(&mut sound.model, preferred.preferred_sound_model.as_ref());
    }
    for device in &mut own.panic_devices {
        advise_text(&mut device.model, preferred.preferred_panic_device_model.as_ref());
    }
    for card in &mut own.gpus {
        advise(&mut card.virtual_gpu_options, preferred.preferred_virtual_gpu_options.as_ref());
    }
    for input in &mut own.inputs {
        advise_text(&mut input.bus, preferred.preferred_input_bus.as_ref());
        if let Some(kind) = preferred.preferred_input_type.as_ref().filter(|_| input.type_.is_empty()) {
            input.type_.clone_from(kind);
        }
    }
    for disk in &mut own.disks {
        disk_of(preferred, disk);
    }
}

fn disk_of(preferred: &DevicePreferences, disk: &mut Disk) {
    if let Some(drive) = &mut disk.cdrom {
        advise_text(&mut drive.bus, preferred.preferred_cdrom_bus.as_ref());
    } else if let Some(lun) = &mut disk.lun {
        advise_text(&mut lun.bus, preferred.preferred_lun_bus.as_ref());
    } else {
        let target = disk.disk.get_or_insert_with(DiskTarget::default);
        advise_text(&mut target.bus, preferred.preferred_disk_bus.as_ref());
        let virtio = target.bus.as_deref() == Some("virtio");
        advise(&mut disk.block_size, preferred.preferred_disk_block_size.as_ref());
        advise_text(&mut disk.cache, preferred.preferred_disk_cache.as_ref());
        advise_text(&mut disk.io, preferred.preferred_disk_io.as_ref());
        // Only virtio disks can have one.
        let thread = preferred.preferred_disk_dedicated_io_thread.as_ref().filter(|_| virtio);
        advise(&mut disk.dedicated_io_thread, thread);
    }
}

fn features(preferred: &FeaturePreferences, domain: &mut DomainSpec) {
    let own = domain.features.get_or_insert_default();
    if let Some(acpi) = &preferred.preferred_acpi {
        advise(&mut own.acpi.enabled, acpi.enabled.as_ref());
    }
    advise(&mut own.apic, preferred.preferred_apic.as_ref());
    advise(&mut own.kvm, preferred.preferred_kvm.as_ref());
    advise(&mut own.pvspinlock, preferred.preferred_pvspinlock.as_ref());
    advise(&mut own.smm, preferred.preferred_smm.as_ref());
    if let Some(preferred) = &preferred.preferred_hyperv {
        hyperv(preferred, own.hyperv.get_or_insert_default());
    }
}

fn hyperv(preferred: &FeatureHyperv, own: &mut FeatureHyperv) {
    advise(&mut own.evmcs, preferred.evmcs.as_ref());
    advise(&mut own.frequencies, preferred.frequencies.as_ref());
    advise(&mut own.ipi, preferred.ipi.as_ref());
    advise(&mut own.reenlightenment, preferred.reenlightenment.as_ref());
    advise(&mut own.relaxed, preferred.relaxed.as_ref());
    advise(&mut own.reset, preferred.reset.as_ref());
    advise(&mut own.runtime, preferred.runtime.as_ref());
    advise(&mut own.spinlocks, preferred.spinlocks.as_ref());
    advise(&mut own.synic, preferred.synic.as_ref());
    advise(&mut own.synictimer, preferred.synictimer.as_ref());
    advise(&mut own.tlbflush, preferred.tlbflush.as_ref());
    advise(&mut own.vapic, preferred.vapic.as_ref());
    advise(&mut own.vendorid, preferred.vendorid.as_ref());
    advise(&mut own.vpindex, preferred.vpindex.as_ref());
}

fn firmware(preferred: &FirmwarePreferences, domain: &mut DomainSpec) {
    let on = |switch: Option<bool>| switch == Some(true);
    let mut loader = domain.firmware.as_ref().and_then(|own| own.bootloader.clone()).unwrap_or_default();
    let open = loader.bios.is_none() && loader.efi.is_none();
    if open && on(preferred.preferred_use_bios) {
        loader.bios = Some(api::kubevirt::v1::BIOS::default());
    } else if open {
        loader.efi.clone_from(&preferred.preferred_efi);
        if loader.efi.is_none() && on(preferred.preferred_use_efi) {
            loader.efi = Some(api::kubevirt::v1::EFI::default());
        }
    }
    if let Some(bios) = &mut loader.bios {
        let serial = preferred.preferred_use_bios_serial.as_ref().filter(|serial| **serial);
        advise(&mut bios.use_serial, serial);
    }
    // The newer way says it itself.
    if let Some(efi) = loader.efi.as_mut().filter(|_| preferred.preferred_efi.is_none()) {
        advise(&mut efi.secure_boot, preferred.preferred_use_secure_boot.as_ref());
    }
    if loader.bios.is_some() || loader.efi.is_some() {
        domain.firmware.get_or_insert_with(Firmware::default).bootloader = Some(loader);
    }
}

fn clock(preferred: &ClockPreferences, domain: &mut DomainSpec) {
    let own = domain.clock.get_or_insert_with(Clock::default);
    if let Some(offset) =
        preferred.preferred_clock_offset.as_ref().filter(|_| own.utc.is_none() && own.timezone.is_none())
    {
        own.utc.clone_from(&offset.utc);
        own.timezone.clone_from(&offset.timezone);
    }
    advise(&mut own.timer, preferred.preferred_timer.as_ref());
}
