//! What a virtual machine means. Pure: no I/O, no async, no clock, no randomness but what is passed in.
//!
//! - [`config`]: the installation's configuration with every default filled in;
//! - [`defaults`]: what admission adds to a `VirtualMachine` or `VirtualMachineInstance`;
//! - [`validation`]: what admission refuses;
//! - [`instancetype`]: what a machine gets by name; [`presets`]: what an instance gets by its labels;
//! - [`fields`]: every field's state: honoured, refused at start, or harmless;
//! - [`record`]: the neutral machine that an instance becomes, and that is kept for its life;
//! - [`persistence`]: what of a machine outlives its instance beside its disks;
//! - [`network`], [`cloudinit`]: what the node's agent prepares for it;
//! - [`resources`]: what its Pod asks for;
//! - [`lifecycle`]: the phases of an instance and the moves between them.

pub mod amount;
pub mod claims;
pub mod cloudinit;
pub mod config;
pub mod config_volumes;
pub mod credentials;
pub mod defaults;
pub mod downward;
pub mod fields;
pub mod identity;
pub mod instancetype;
pub mod lifecycle;
pub mod network;
pub mod persistence;
pub mod presets;
pub mod record;
pub mod resources;
pub mod validation;
