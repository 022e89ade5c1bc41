//! Pods as jailed processes: what a container runtime does, for programs of this host.
//!
//! ```text
//! kubelet ── start ──> pod-init ──────────────── clone ──> first process of the Pod
//!    │                    │ makes the namespaces,             │ waits
//!    │<── host pid ───────┘ exits                             │
//!    │  wires up the network namespace; at the side,          │
//!    │  moves the first process into the cgroups              │
//!    ├── network is there ───────────────────────────────────>│ builds its root, drops its rights, waits
//!    ├── cgroups are joined ─────────────────────────────────>│
//!    │<── "executing" ────────────────────────────────────────┤ exec: the channel closes
//! ```
//!
//! Both ends talk over one stream socket that is `pod-init`'s standard input. The first process is cloned as
//! a *sibling* of `pod-init`, which makes it the kubelet's own child: it can be reaped. When the kubelet goes
//! away before that, the first process sees the closed socket and ends.
//!
//! As root, the jail has the uid and gid of the Pod as they are. As an ordinary user, it has a user
//! namespace in which the Pod's uid and gid stand for the user's own.

mod child;
mod identity;
mod mounts;
mod parent;
mod seccomp;
mod spec;

pub use child::{main, pod_init};
pub use parent::{Launch, start};
pub use spec::{Device, Entry, JailSpec, Limit, UserMap};

/// Hidden subcommand that runs [`main`].
pub const ROLE: &str = "pod-init";

/// Why a jail could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(clippy::error_impl_error, reason = "the module has one error; callers write jail::Error")]
pub enum Error {
    /// The helper program could not be started.
    #[error("cannot start {program} as the Pod's first process")]
    Spawn {
        /// The helper.
        program: String,
        /// Cause.
        source: std::io::Error,
    },
    /// The channel to the helper broke.
    #[error("lost the channel to the Pod's first process while {operation}")]
    Channel {
        /// What was going on.
        operation: &'static str,
        /// Cause.
        source: std::io::Error,
    },
    /// The helper ended, or said something else than the protocol has.
    #[error("the Pod's first process ended while it was being made; see {log}")]
    Ended {
        /// Where its last words are.
        log: String,
    },
    /// The helper says why it could not go on.
    #[error("{0}")]
    Refused(String),
    /// The first process cannot be recorded.
    #[error("cannot record the Pod's first process")]
    Record(#[from] crate::process::Error),
}
