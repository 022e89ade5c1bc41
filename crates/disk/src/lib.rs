//! Disk images: what they are, new ones, optical ones made of files, and opening what a tenant names.
//!
//! Everything here is synchronous and short; callers on an async runtime run it where blocking is allowed.
//! No function follows a reference inside an image: chains are built by the caller, layer by layer, from files it
//! opened itself.

pub mod beneath;
pub mod create;
pub mod hosted;
pub mod probe;
pub mod seed;

pub use beneath::{files_beneath, open_beneath};
pub use create::{empty, overlay};
pub use probe::{Format, Probe, probe};
pub use seed::{SeedFile, iso};
