//! The launcher protocol's messages, versioned.
//!
//! Two things cross the boundary between a node's agent (`virt-handler`) and one machine's supervisor
//! (`virt-launcher`): commands, whose messages stand in [`launcher`] (compiled from `proto/launcher.proto`),
//! and the neutral machine that they are about, [`machine::MachineRecord`]. Both carry a version from their
//! first release; an agent serves launchers of the two releases before it. A third kind of message, [`agent`], goes
//! from virt-api to an agent. And [`probe`] is a command line that stands in Pods.

pub mod agent;
pub mod launcher;
pub mod machine;
pub mod probe;
