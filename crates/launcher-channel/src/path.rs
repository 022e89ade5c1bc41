//! Socket paths that may be longer than a socket address.
//!
//! `sun_path` holds 108 bytes; a Pod's volume directory alone takes as many. Both sides therefore open the
//! directory and name the socket through `/proc/self/fd`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io;

/// A socket's short path, valid while the value lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    _opened: OwnedFd,
    path: PathBuf,
}

impl SocketPath {
    /// Names `socket` in `directory` by a short path, to bind it there.
    pub(crate) fn new(directory: &Path, socket: &str) -> io::Result<Self> {
        let fd =
            rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{socket}", fd.as_raw_fd()));
        Ok(Self { _opened: fd, path })
    }

    /// Opens the socket at `path` below `root` and names what was opened, to connect to it.
    ///
    /// Whoever works in the Pod may put there what they like. A link would lead the agent, who may do more, to a socket
    /// of another Pod or of the host, whose owner it would take for this machine's launcher; so none is followed below
    /// `root`, and `path` cannot leave it.
    pub(crate) fn existing(root: &Path, path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let root = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
        let fd = rustix::fs::openat2(&root, path, flags | OFlags::NOFOLLOW, Mode::empty(), beneath)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::Socket {
            return Err(io::Errno::NOTSOCK);
        }
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Ok(Self { _opened: fd, path })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_connected_to_where_it_is_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().join("own"), folder.path().join("other"));
        for directory in [&own, &other] {
            std::fs::create_dir(directory).unwrap();
        }
        let listeners = [&own, &other].map(|directory| {
            let path = SocketPath::new(directory, "launcher-sock").unwrap();
            UnixListener::bind(path.as_path()).unwrap()
        });
        for (root, socket) in [(&*own, "launcher-sock"), (folder.path(), "own/launcher-sock")] {
            let path = SocketPath::existing(root, Path::new(socket)).unwrap();
            UnixStream::connect(path.as_path()).unwrap();
            listeners[0].accept().unwrap();
        }

        std::os::unix::fs::symlink(other.join("launcher-sock"), own.join("link")).unwrap();
        std::fs::write(own.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&other, own.join("elsewhere")).unwrap();
        let absolute = other.join("launcher-sock").display().to_string();
        for name in [
            "link",
            "file",
            "absent",
            "../other/launcher-sock",
            "elsewhere/launcher-sock",
            "x/../launcher-sock",
            &absolute,
        ] {
            assert!(SocketPath::existing(&own, Path::new(name)).is_err(), "{name}");
        }
    }
}
