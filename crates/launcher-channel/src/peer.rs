//! Who is at the other end of a socket.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// Credentials of a peer at the moment it connected (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Process ID in the caller's PID namespace; 0 if the peer is not in it.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

impl Peer {
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(&socket, PeerCredentials)?;
        Ok(Self { pid: credentials.pid(), uid: credentials.uid() })
    }

    /// Whether this peer may speak to a launcher whose socket directory belongs to `owner`: the launcher's own
    /// user, root, or the directory's owner (the agent may be a user without a mapping in the Pod).
    pub(crate) fn may_command(self, owner: u32) -> bool {
        self.uid == 0 || self.uid == owner || self.uid == rustix::process::geteuid().as_raw()
    }
}
