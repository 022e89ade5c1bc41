//! The plan of a hypervisor's process: what to execute, with what open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wire::machine::{DescriptorName, MachineRecord};

use crate::{Capabilities, Unsupported};

/// Turns records into processes. Implementations hold facts about the installed hypervisor (its path, its
/// version), gathered before; they read no file and ask no clock here.
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Short name for people and for `MachineState.hypervisor`, for example `qemu`.
    fn name(&self) -> &'static str;

    /// Returns what this backend can run.
    fn capabilities(&self) -> &Capabilities;

    /// Plans the process that runs `record`.
    ///
    /// Pure: the same record and surroundings give the same plan. The process, once executed, holds the
    /// machine with its processors stopped until [`crate::Machine::resume`]; it lets the control connection
    /// go away and come back; it ends when the guest has shut down.
    ///
    /// # Errors
    /// The record asks for what this backend cannot do, or names a descriptor that is not there.
    fn plan(&self, record: &MachineRecord, surroundings: &Surroundings<'_>) -> Result<Invocation, PlanError>;
}

/// What a plan may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The descriptors that are at hand, and what each is open for.
    pub descriptors: &'a BTreeMap<DescriptorName, Access>,
    /// Directory for sockets and private files, as the hypervisor's process sees it. Nothing else writes here.
    pub run_directory: &'a Path,
    /// Directory for sockets that the node's agent uses (the screen), as the hypervisor's process sees it.
    pub socket_directory: &'a Path,
    /// The host's time in seconds since the epoch, for a clock that is not the host's own.
    pub now: i64,
}

/// What a descriptor is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// One process to execute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What has to be in place before.
    pub prepare: Vec<Preparation>,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Descriptors that it inherits, beside standard input, output and error.
    pub descriptors: Vec<Inherited>,
    /// Processes beside it, each for one of its devices.
    #[serde(default)]
    pub companions: Vec<Companion>,
}

/// A process that does the work of one device. It is executed before the hypervisor, holds one end of a stream socket pair
/// as [`Companion::CHANNEL`], and ends by itself when the hypervisor, which holds the other, is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Number of the hypervisor's end in the hypervisor.
    pub number: i32,
    /// Numbers of descriptors of the invocation that go to the companion and not to the hypervisor. There they have the
    /// numbers from [`Companion::TAKEN`] on, in this order.
    #[serde(default)]
    pub takes: Vec<i32>,
}

impl Companion {
    /// Number of the channel in the companion.
    pub const CHANNEL: i32 = 3;
    /// Number in the companion of the first descriptor that it takes.
    pub const TAKEN: i32 = 4;
}

/// One inherited descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// Number in the process; 3 or greater, unique in the invocation.
    pub number: i32,
    /// What is open there.
    pub source: Source,
}

/// What an inherited descriptor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// One that travelled beside the record.
    Descriptor(DescriptorName),
    /// One end of a stream socket pair, whose other end the supervisor keeps under this name. It stays
    /// connected when the supervisor is replaced, so that no byte is lost.
    Channel(String),
}

/// One thing that has to be in place before a process is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preparation {
    /// A file copied into the run directory, replacing what is there.
    Copy {
        /// Source, readable for everybody.
        from: PathBuf,
        /// Target in the run directory.
        to: PathBuf,
    },
    /// A stale file (a socket of an ended process) removed, if it is there.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// A directory in the run directory, for the process and its companions alone.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the node that has to be there.
    Need {
        /// The file.
        path: PathBuf,
        /// What is wrong if it is not, and what to do.
        remedy: String,
    },
}

/// Why no plan could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The record asks for things that the backend cannot do.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unsupported(Vec<Unsupported>),
    /// A descriptor is missing.
    #[error("{device} needs the descriptor {descriptor}, which was not handed over")]
    MissingDescriptor {
        /// Device that needs it.
        device: String,
        /// Its name.
        descriptor: DescriptorName,
    },
    /// The record contradicts itself.
    #[error("{device}: {reason}")]
    Contradiction {
        /// Device concerned.
        device: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of the installation is missing, for example firmware.
    #[error("{what} is not installed on this node ({remedy})")]
    NotInstalled {
        /// What is missing.
        what: String,
        /// What to do.
        remedy: String,
    },
}
