//! Features of board and processor that the processor's model does not decide, and the machine's timers.

use serde::{Deserialize, Serialize};

/// Features of board and processor. What is absent is left to the hypervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Features {
    /// Tables of the machine's hardware (ACPI), by which a guest also hears of the power button.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acpi: Option<bool>,
    /// System management mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smm: Option<bool>,
    /// Whether the guest is not told which hypervisor runs it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Paravirtual spin locks; only under KVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spin_locks: Option<bool>,
    /// Paravirtual end of interrupt; only under KVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_interrupt: Option<bool>,
    /// Hyper-V's interface; only under KVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hyperv: Option<Hyperv>,
}

impl Features {
    /// Whether everything is left to the hypervisor.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What of Hyper-V's interface a guest finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hyperv {
    /// Everything that the host knows, whatever the rest says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub passthrough: bool,
    /// Parts that are offered, in a fixed order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enlightenments: Vec<Enlightenment>,
    /// Attempts at a spin lock before the guest tells the hypervisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spin_lock_retries: Option<u32>,
    /// Name that the hypervisor gives itself, at most 12 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_id: Option<String>,
}

/// One part of Hyper-V's interface (Hypervisor Top Level Functional Specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Enlightenment {
    /// Relaxed timing of watchdogs.
    Relaxed,
    /// Virtual interrupt controller.
    Vapic,
    /// Index of the own processor.
    Vpindex,
    /// Time that a processor ran.
    Runtime,
    /// Synthetic interrupt controller.
    Synic,
    /// Synthetic timers.
    Stimer,
    /// Synthetic timers that interrupt directly.
    StimerDirect,
    /// Reset by register.
    Reset,
    /// Frequencies of the time stamp counter and the interrupt controller.
    Frequencies,
    /// Notices after a migration to another frequency.
    Reenlightenment,
    /// Flushes of remote translation buffers.
    TlbFlush,
    /// Such flushes for nested guests.
    TlbFlushDirect,
    /// Such flushes of ranges.
    TlbFlushExtended,
    /// Interrupts between processors.
    Ipi,
    /// Control structures for nested guests.
    Evmcs,
}

/// The machine's timers. What is absent is left to the hypervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timers {
    /// Whether there is a high precision event timer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hpet: Option<bool>,
    /// Whether there is an interval timer (8254).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pit: Option<bool>,
    /// What becomes of ticks of the interval timer that the guest missed; only under KVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pit_ticks: Option<MissedTicks>,
    /// What becomes of ticks of the real-time clock that the guest missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_ticks: Option<MissedTicks>,
    /// What the real-time clock follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc_track: Option<RtcTrack>,
    /// Whether there is KVM's clock; only under KVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kvm_clock: Option<bool>,
    /// Whether there is Hyper-V's reference clock; only under KVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hyperv_clock: Option<bool>,
}

impl Timers {
    /// Whether everything is left to the hypervisor.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of timer ticks that a guest missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissedTicks {
    /// They come later, at the usual pace.
    Delay,
    /// They come faster until the guest has caught up.
    Catchup,
    /// They are lost.
    Discard,
}

/// What a real-time clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtcTrack {
    /// The guest's time, which stands still while the machine is paused.
    Guest,
    /// The host's time.
    Wall,
}
