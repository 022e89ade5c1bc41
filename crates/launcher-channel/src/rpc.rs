//! The generated gRPC client and server of the launcher protocol.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated; the documentation is in the .proto"
)]

include!(concat!(env!("OUT_DIR"), "/ironclad.launcher.v1.rs"));
