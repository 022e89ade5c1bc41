//! Messages of the launcher protocol, compiled from `proto/launcher.proto`.

/// Version 1 of the protocol.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the documentation is in the .proto"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/ironclad.launcher.v1.rs"));
}

/// Protocol versions that this release speaks, newest first.
pub const VERSIONS: &[u32] = &[1];
