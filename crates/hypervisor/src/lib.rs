//! The Hypervisor Abstraction Layer: what a virtual machine monitor has to do to run our machines.
//!
//! A backend is two things. [`Backend`] turns a neutral record into the command line of a process, purely;
//! whoever owns processes (the shim) executes that plan. [`Machine`] then drives the running process through
//! its control socket, and any later process can attach to the same machine again. What a backend cannot do it
//! says in its [`Capabilities`], and asking for it anyway is an error that names the field.
//!
//! Every backend passes the [`contract`] suite; so does the [`simulated`] machine, which runs no guest at all
//! and stands in for one where a thousand machines are needed and no hypervisor is.

mod agent;
mod capabilities;
pub mod contract;
mod invocation;
mod machine;
pub mod process;
pub mod simulated;

pub use agent::{
    AgentError, AgentFacts, FileSystem, GuestAgent, GuestInterface, GuestOs, GuestUser, ProgramEnd,
};
pub use capabilities::{Capabilities, Unsupported};
pub use invocation::{
    Access, Backend, Companion, Inherited, Invocation, PlanError, Preparation, Source, Surroundings,
};
pub use machine::{Attached, Error, Event, Events, Machine, RunState, ShutdownCause};
