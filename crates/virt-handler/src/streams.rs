//! Connections to a machine: to its sockets in the Pod's directory, and to its ports in the Pod's network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use tokio::net::{TcpStream, UdpSocket, UnixStream};

/// Socket of the first serial port, which the launcher serves.
pub(crate) const CONSOLE: &str = "serial0-sock";
/// Socket of the VNC server, which the hypervisor serves.
pub(crate) const SCREEN: &str = "vnc-sock";

/// Connects to the socket `name` in `directory`.
///
/// Whoever works in the Pod may put there what they like. A link would lead this process, which may do more, wherever
/// the Pod wants; so the name is opened without following any, and what was opened is what is connected to.
pub(crate) async fn connect(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = OFlags::PATH | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, directory, path | OFlags::DIRECTORY, Mode::empty())?;
    let socket = rustix::fs::openat2(&directory, name, path | OFlags::NOFOLLOW, Mode::empty(), beneath)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no socket")));
    }
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
}

/// Where a guest behind its Pod is reached from inside the Pod: the rules there pass on what goes to this address, as
/// far as the specification lists the port.
fn inside(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Opens a TCP connection to a port of the guest from inside the Pod of process `pid`.
pub(crate) async fn tcp(pid: i32, port: u16, helper: host::Helper) -> Result<TcpStream, String> {
    let connect = move || network::netns_exec::connect(pid, inside(port), &helper);
    let stream = tokio::task::spawn_blocking(connect).await.map_err(|error| error.to_string())?;
    let stream = stream.map_err(|error| match error {
        // Where it was dialled from, the guest has an address that nobody else knows it by.
        network::Error::Unreachable { cause, .. } => cause,
        other => other.to_string(),
    })?;
    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
    let stream = stream.map_err(|error| error.to_string())?;
    // Keystrokes must not wait for more to send.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Opens a UDP socket that is connected to a port of the guest, inside the Pod of process `pid`.
pub(crate) async fn udp(pid: i32, port: u16, helper: host::Helper) -> Result<UdpSocket, String> {
    let connect = move || network::netns_exec::connect_udp(pid, inside(port), &helper);
    let socket = tokio::task::spawn_blocking(connect).await.map_err(|error| error.to_string())?;
    let socket = socket.map_err(|error| error.to_string())?;
    let socket = socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket));
    socket.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn sockets_are_connected_to_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        // Binding needs a short path, too.
        let listener = {
            let fd = rustix::fs::openat(CWD, &deep, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            UnixListener::bind(format!("/proc/self/fd/{}/{CONSOLE}", fd.as_raw_fd())).unwrap()
        };
        let mut stream = connect(&deep, CONSOLE).await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        served.write_all(b"login:").await.unwrap();
        let mut buffer = [0; 6];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"login:");

        std::fs::write(deep.join("file"), "").unwrap();
        std::os::unix::fs::symlink(deep.join(CONSOLE), deep.join("link")).unwrap();
        assert_eq!(connect(&deep, "file").await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        for name in ["link", "../somewhere", "/run/somewhere", "absent"] {
            assert!(connect(&deep, name).await.is_err(), "{name}");
        }
    }
}
