//! Socket paths that may be longer than a socket address.
//!
//! `sun_path` holds 108 bytes; a Pod's volume directory alone takes as many. Both sides therefore open the
//! directory and name the socket through `/proc/self/fd`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io;

/// A socket's short path, valid while the value lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    _directory: OwnedFd,
    path: PathBuf,
}

impl SocketPath {
    /// Names `socket` in `directory` by a short path.
    pub(crate) fn new(directory: &Path, socket: &str) -> io::Result<Self> {
        let fd =
            rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{socket}", fd.as_raw_fd()));
        Ok(Self { _directory: fd, path })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}
