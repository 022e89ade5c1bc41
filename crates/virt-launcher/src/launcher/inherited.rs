//! The descriptor that the shim left for us.

use std::os::fd::{FromRawFd, OwnedFd};

use crate::shim::LINK;

/// Takes the socket to the shim; `None` when the process was not started by one. Called once, first.
#[allow(unsafe_code, reason = "an inherited descriptor has a number and no owner yet")]
pub(super) fn link() -> Option<OwnedFd> {
    // SAFETY: asks for a flag of a descriptor that need not be open; touches no memory.
    let flags = unsafe { libc::fcntl(LINK, libc::F_GETFD) };
    if flags < 0 {
        return None;
    }
    // SAFETY: the number is open (just asked), and nothing in this process owns it: it was put there before
    // the process was executed, and this runs once, before anything else opens descriptors.
    let link = unsafe { OwnedFd::from_raw_fd(LINK) };
    rustix::io::fcntl_setfd(&link, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(link)
}
