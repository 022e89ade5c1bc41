//! What a step of the agent looks at.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use api::names::phase;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credentials::Credentials;
use super::moving::Moving;
use super::stall::Stall;
use crate::condition::Condition;
use crate::vmi::PhaseTime;

/// Everything that matters for one instance on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The instance.
    pub instance: Instance,
    /// Its launcher.
    pub launcher: Launcher,
    /// What stopped the last attempt to bring about the specification, while that lasts.
    pub trouble: Option<Trouble>,
    /// What is known about its disks, if they fail.
    pub stall: Stall,
    /// How the credentials stand that its guest's agent sets.
    pub credentials: Credentials,
    /// Whether guests run under KVM here, which can be there and still hang every ordinary guest.
    pub accelerated: bool,
    /// How long a guest may take to its first sign of life before people are told.
    pub boot_patience: Duration,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// Name.
    pub name: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Seconds that the guest gets to shut down.
    pub grace_seconds: u64,
    /// Whether a probe says when it is ready: then that is its Pod's to tell, and virt-controller's to copy.
    pub probed: bool,
    /// Whether the cables of its interfaces are to be connected, by the interfaces' names.
    pub links: BTreeMap<String, bool>,
    /// Where its machine's devices stand, as its annotation says.
    pub places: Option<String>,
    /// The part of its status that the agent writes.
    pub status: Status,
}

impl Instance {
    /// Returns the phase, or the empty string.
    pub fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }

    /// Tells whether the instance has ended.
    pub fn is_final(&self) -> bool {
        matches!(self.phase(), phase::SUCCEEDED | phase::FAILED)
    }

    /// Tells whether virt-controller has handed the instance over.
    pub fn is_handed_over(&self) -> bool {
        matches!(self.phase(), phase::SCHEDULED | phase::RUNNING | phase::UNKNOWN)
    }
}

/// Status fields that the agent writes, in the shape of the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why the phase is what it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Conditions, virt-controller's among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When each phase began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase_transition_timestamps: Vec<PhaseTime>,
    /// Network interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Value>,
    /// Operating system of the guest.
    #[serde(rename = "guestOSInfo", skip_serializing_if = "Option::is_none")]
    pub guest_os_info: Option<Value>,
    /// Machine type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Value>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Value>,
    /// Processors.
    #[serde(rename = "currentCPUTopology", skip_serializing_if = "Option::is_none")]
    pub current_cpu_topology: Option<Value>,
    /// Volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_status: Vec<Value>,
    /// How the machine would move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_method: Option<String>,
}

/// The launcher as the agent sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Launcher {
    /// It does not answer.
    Silent,
    /// It reports its machine.
    Connected(Machine),
}

/// What a launcher reports of its machine, together with what the agent prepared for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// What it does.
    pub phase: MachinePhase,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Concrete machine type.
    pub machine_type: String,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Processors.
    pub topology: Topology,
    /// Interfaces in the order of the specification, then those that only the guest knows.
    pub interfaces: Vec<GuestInterface>,
    /// Volumes that the guest sees as disks.
    pub volumes: Vec<Volume>,
    /// Operating system, in the shape of the object, once the guest agent has told.
    pub guest_os: Option<Value>,
    /// Seconds that its guest was last granted to shut down, as far as the agent knows.
    pub granted_seconds: Option<u64>,
    /// Whether the guest agent answers.
    pub agent_connected: bool,
    /// When the hypervisor was executed.
    pub executed_at: Option<Timestamp>,
    /// Whether the guest has printed on its serial console, asked for an address, or been heard by its agent.
    pub shows_life: bool,
    /// When the machine last changed.
    pub changed_at: Option<Timestamp>,
    /// Whether it could move.
    pub moving: Moving,
    /// Where its devices stand, once it has any.
    pub places: Option<String>,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachinePhase {
    /// None was asked for yet.
    #[default]
    Idle,
    /// The hypervisor starts.
    Starting,
    /// Processors execute.
    Running,
    /// Processors stand still.
    Paused,
    /// The power button was pressed.
    ShuttingDown,
    /// The guest has ended, by itself or on request.
    ShutOff,
    /// The hypervisor ended without the guest's doing.
    Crashed,
    /// The hypervisor could not be started.
    Failed,
}

/// Processors of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Sockets.
    pub sockets: u32,
    /// Cores in each.
    pub cores: u32,
    /// Threads in each.
    pub threads: u32,
}

/// An interface of the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestInterface {
    /// Name in the specification; empty for one that only the guest knows.
    pub name: String,
    /// Hardware address.
    pub mac: String,
    /// Addresses at which it is reached, the main one first.
    pub addresses: Vec<String>,
    /// Interface of the Pod that it stands behind.
    pub pod_interface: String,
    /// Name inside the guest.
    pub guest_name: String,
    /// Where this is known from.
    pub sources: Vec<String>,
    /// Whether its link is up.
    pub link_up: bool,
}

/// A volume as the guest sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Name in the specification.
    pub name: String,
    /// Device name that a Linux guest is likely to give it.
    pub target: String,
    /// Size of the disk in bytes; 0 when it is not known.
    pub size: u64,
    /// The claim that it is in, in the shape of the object.
    pub claim: Option<Value>,
}

/// Why the specification could not be brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word.
    pub reason: String,
    /// One sentence that names what is missing and what to do.
    pub message: String,
    /// When the next attempt may be made.
    pub retry_at: Timestamp,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {}: {}", self.instance.name, self.instance.phase())?;
        if self.instance.deleting {
            write!(f, ", being deleted")?;
        }
        for condition in &self.instance.status.conditions {
            write!(f, "\n  {condition}")?;
        }
        match &self.launcher {
            Launcher::Silent => write!(f, "\nthe launcher does not answer")?,
            Launcher::Connected(machine) => {
                write!(f, "\nmachine: {:?}", machine.phase)?;
                if !machine.message.is_empty() {
                    write!(f, " ({})", machine.message)?;
                }
                if machine.agent_connected {
                    write!(f, ", guest agent connected")?;
                }
                if let Some(at) = machine.executed_at.filter(|_| !machine.shows_life) {
                    write!(f, ", no sign of life since {at}")?;
                }
            }
        }
        for room in &self.stall.rooms {
            write!(f, "\n{}: {} of {} bytes that are needed are free", room.mount, room.free, room.needed)?;
        }
        if let Some(tried) = self.stall.tried_at {
            write!(f, "\nresumed {} times, last at {tried}", self.stall.attempts)?;
        }
        if let Credentials::Wanted { under_way, last } = &self.credentials {
            match last {
                _ if *under_way => write!(f, "\ncredentials are being set")?,
                None => write!(f, "\ncredentials are to be set")?,
                Some(last) => {
                    let outcome = last.problem.as_deref().unwrap_or("well");
                    write!(f, "\ncredentials were set at {}: {outcome}", last.at)?;
                }
            }
        }
        if let Some(trouble) = &self.trouble {
            write!(f, "\ntrouble: {}: {} (again at {})", trouble.reason, trouble.message, trouble.retry_at)?;
        }
        Ok(())
    }
}
