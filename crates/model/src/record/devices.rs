//! Small devices: graphics adapter, pointers, sound, watchdog, panic notifiers.

use api::kubevirt::v1::{Devices, DomainSpec};
use wire::machine::{
    Accelerator, Address, Boot, Firmware, Graphics, Input, InputBus, PanicDevice, Sound, SoundModel, Tpm,
    Watchdog, WatchdogAction,
};

use super::RecordError;
use super::slots::{self, Slots, Stand};

/// Name of the pointer that `autoattachInputDevice` adds; part of the API's contract.
const AUTOMATIC_INPUT: &str = "default-0";

pub(super) fn graphics(domain: &DomainSpec, boot: &Boot) -> Result<Option<Graphics>, RecordError> {
    let devices = &domain.devices;
    if devices.autoattach_graphics_device == Some(false) {
        return Ok(None);
    }
    let wanted = devices.video.as_ref().and_then(|video| video.type_.as_deref()).unwrap_or_default();
    let adapter = match (wanted, &boot.firmware) {
        // UEFI's own driver knows the plain framebuffer best, a BIOS needs the adapter with a text mode.
        ("", Firmware::Bios) | ("vga", _) => "VGA",
        ("", Firmware::Uefi { .. }) | ("bochs", _) => "bochs-display",
        ("cirrus", _) => "cirrus-vga",
        ("virtio", _) => "virtio-vga",
        ("ramfb", _) => "ramfb",
        (other, _) => {
            return Err(RecordError::field(
                "spec.domain.devices.video.type",
                other,
                "write one of vga, cirrus, virtio, ramfb, bochs",
            ));
        }
    };
    let address = Address::Pci { address: format!("0000:00:{:02x}.0", slots::GRAPHICS) };
    Ok(Some(Graphics { adapter: adapter.to_owned(), address }))
}

pub(super) fn inputs(devices: &Devices, slots: &mut Slots) -> Result<Vec<Input>, RecordError> {
    let mut inputs = Vec::with_capacity(devices.inputs.len());
    for (index, spec) in devices.inputs.iter().enumerate() {
        let bus = match spec.bus.as_deref() {
            None | Some("" | "usb") => InputBus::Usb,
            Some("virtio") => {
                InputBus::Virtio { address: slots.take(&format!("input/{}", spec.name), Stand::Port)? }
            }
            Some(other) => {
                return Err(RecordError::field(
                    format!("spec.domain.devices.inputs[{index}].bus"),
                    other,
                    "write usb or virtio",
                ));
            }
        };
        inputs.push(Input { name: spec.name.clone(), bus });
    }
    if inputs.is_empty() && devices.autoattach_input_device == Some(true) {
        inputs.push(Input { name: AUTOMATIC_INPUT.to_owned(), bus: InputBus::Usb });
    }
    Ok(inputs)
}

pub(super) fn sound(devices: &Devices, slots: &mut Slots) -> Result<Option<Sound>, RecordError> {
    let Some(spec) = &devices.sound else { return Ok(None) };
    let model = match spec.model.as_deref() {
        None | Some("" | "ich9") => SoundModel::Ich9,
        Some("ac97") => SoundModel::Ac97,
        Some(other) => {
            return Err(RecordError::field("spec.domain.devices.sound.model", other, "write ich9 or ac97"));
        }
    };
    Ok(Some(Sound { model, address: slots.take("sound", Stand::Bus)? }))
}

pub(super) fn watchdog(devices: &Devices, slots: &mut Slots) -> Result<Option<Watchdog>, RecordError> {
    let Some(device) = devices.watchdog.as_ref().and_then(|watchdog| watchdog.i6300esb.as_ref()) else {
        return Ok(None);
    };
    let action = match device.action.as_deref() {
        None | Some("" | "reset") => WatchdogAction::Reset,
        Some("poweroff") => WatchdogAction::Poweroff,
        Some("shutdown") => WatchdogAction::Shutdown,
        Some(other) => {
            return Err(RecordError::field(
                "spec.domain.devices.watchdog.i6300esb.action",
                other,
                "write one of reset, poweroff, shutdown",
            ));
        }
    };
    Ok(Some(Watchdog { address: slots.take("watchdog", Stand::Bus)?, action }))
}

pub(super) fn tpm(domain: &DomainSpec) -> Option<Tpm> {
    domain
        .devices
        .tpm
        .as_ref()
        .filter(|tpm| tpm.enabled != Some(false))
        .map(|_| Tpm { persistent: crate::persistence::keeps_tpm(domain) })
}

pub(super) fn panic_devices(
    devices: &Devices,
    accelerator: Accelerator,
    slots: &mut Slots,
) -> Result<Vec<PanicDevice>, RecordError> {
    let mut out = Vec::with_capacity(devices.panic_devices.len());
    for (index, spec) in devices.panic_devices.iter().enumerate() {
        let refused = |value: &str, reason: &str| {
            RecordError::field(format!("spec.domain.devices.panicDevices[{index}].model"), value, reason)
        };
        let device = match spec.model.as_deref() {
            None | Some("" | "isa") => PanicDevice::Isa,
            Some("pvpanic") => {
                PanicDevice::Pvpanic { address: slots.take(&format!("panic/{index}"), Stand::Bus)? }
            }
            Some("hyperv") if accelerator == Accelerator::Tcg => {
                return Err(refused(
                    "hyperv",
                    "it needs KVM, which this node does not have; use isa or pvpanic",
                ));
            }
            Some("hyperv") => PanicDevice::Hyperv,
            Some(other) => return Err(refused(other, "write one of isa, hyperv, pvpanic")),
        };
        // There is one I/O port, and one set of registers.
        if out.contains(&device) {
            return Err(refused(
                spec.model.as_deref().unwrap_or_default(),
                "the machine has one already; remove it",
            ));
        }
        out.push(device);
    }
    Ok(out)
}
