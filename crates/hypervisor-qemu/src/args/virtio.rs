//! Which interface virtio devices speak.

use wire::machine::MachineRecord;

use super::pci::Kind;

/// How a machine's virtio devices are called and attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Virtio {
    /// Virtio 1.0 and what the device's place brings.
    Usual,
    /// That and the interface of before. It needs I/O ports, which root ports do not pass on to all of their devices, so
    /// that each device sits on the root complex itself.
    Transitional,
}

impl Virtio {
    pub(super) fn of(record: &MachineRecord) -> Self {
        if record.virtio_transitional { Self::Transitional } else { Self::Usual }
    }

    /// Returns the driver of the PCI device `usual`.
    pub(super) fn driver(self, usual: &str) -> String {
        match self {
            Self::Usual => usual.to_owned(),
            Self::Transitional => format!("{usual}-transitional"),
        }
    }

    /// Returns how a device is attached that is otherwise attached as `usual`.
    pub(super) fn kind(self, usual: Kind) -> Kind {
        match self {
            Self::Usual => usual,
            Self::Transitional => Kind::Conventional,
        }
    }
}
