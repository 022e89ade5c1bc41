//! Breaking another process's connection, as a lost one would break.

use rustix::net::{Shutdown, SocketAddrAny, SocketAddrUnix, getpeername, shutdown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Shuts down every connection of process `pid` to a Unix socket whose path ends in `name`; returns how many there were.
/// Needs the right to trace that process.
///
/// # Panics
/// When the process does not exist or may not be traced.
pub fn break_connections(pid: i32, name: &str) -> usize {
    let process = Pid::from_raw(pid).expect("a process ID");
    let process = pidfd_open(process, PidfdFlags::empty()).expect("the process exists");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors can be listed");
    let mut broken = 0;
    for number in descriptors.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        // One that was closed meanwhile is no connection.
        let Ok(descriptor) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
        let Ok(peer) = getpeername(&descriptor).map(unix) else { continue };
        let leads_there = peer
            .and_then(|peer| Some(peer.path()?.to_bytes().ends_with(name.as_bytes())))
            .unwrap_or_default();
        if leads_there && shutdown(&descriptor, Shutdown::Both).is_ok() {
            broken += 1;
        }
    }
    broken
}

fn unix(address: Option<SocketAddrAny>) -> Option<SocketAddrUnix> {
    SocketAddrUnix::try_from(address?).ok()
}
