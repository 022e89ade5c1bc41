//! Small devices: pointers, sound, watchdog, panic notifiers.

use serde::{Deserialize, Serialize};

use super::Address;

/// A pointer for the graphical console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Name in the specification; stable and unique.
    pub name: String,
    /// How it is attached.
    #[serde(flatten)]
    pub bus: InputBus,
}

/// How an input device is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "bus")]
pub enum InputBus {
    /// On the machine's USB controller.
    Usb,
    /// A PCI device of its own.
    Virtio {
        /// Place on the PCI bus.
        address: Address,
    },
}

/// Sound card. What it plays is heard nowhere; guests that look for one find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// Model that the guest sees.
    pub model: SoundModel,
    /// Place on the PCI bus.
    pub address: Address,
}

/// Model of a sound card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundModel {
    /// Intel High Definition Audio of the ICH9.
    Ich9,
    /// Intel 82801AA AC'97.
    Ac97,
}

/// Watchdog: a timer that acts unless the guest keeps resetting it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// Place of the Intel 6300ESB on the PCI bus.
    pub address: Address,
    /// What it does.
    pub action: WatchdogAction,
}

/// What a watchdog does when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchdogAction {
    /// Resets the machine.
    Reset,
    /// Ends the machine at once.
    Poweroff,
    /// Presses the power button.
    Shutdown,
}

/// Trusted platform module, version 2.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm {
    /// Whether what it keeps outlives the machine: it is in the descriptor `tpm/state` then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub persistent: bool,
}

/// A device by which a guest's kernel tells that it has panicked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "model")]
pub enum PanicDevice {
    /// I/O port 0x505.
    Isa,
    /// A PCI device.
    Pvpanic {
        /// Place on the PCI bus.
        address: Address,
    },
    /// The crash registers of Hyper-V's interface; only under KVM.
    Hyperv,
}
