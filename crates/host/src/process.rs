//! Processes that outlive whoever started them: records that survive a restart, and pidfds.
//!
//! A number alone does not name a process for long. A [`ProcessRecord`] adds the start time and the boot, so
//! that a reused number, or a number from before a reboot, is never mistaken for the recorded process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};

use crate::Root;

/// Why a process could not be recorded, opened or signalled.
#[derive(Debug, thiserror::Error)]
#[allow(clippy::error_impl_error, reason = "the module has one error; callers write process::Error")]
pub enum Error {
    /// The process is gone or may not be looked at.
    #[error("cannot read {what} of process {pid}")]
    Read {
        /// Process ID.
        pid: i32,
        /// File of `/proc` that was read.
        what: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// A file of `/proc` does not look as the kernel writes it.
    #[error("/proc/{pid}/stat does not have the form that Linux writes")]
    Malformed {
        /// Process ID.
        pid: i32,
    },
    /// The kernel refused a pidfd operation.
    #[error("cannot {operation} process {pid}")]
    Pidfd {
        /// What was tried.
        operation: &'static str,
        /// Process ID.
        pid: i32,
        /// Cause.
        source: io::Error,
    },
}

/// Names one process of one boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRecord {
    /// Process ID in the PID namespace of whoever made the record.
    pub pid: i32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// Random identity of the boot.
    pub boot_id: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Returns the code as a shell would report it: 128 plus the number for a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Reads the status word of `wait(2)`.
    fn from_wait_status(status: i32) -> Self {
        let signal = status & 0x7f;
        if signal == 0 { Self::Code((status >> 8) & 0xff) } else { Self::Signal(signal) }
    }
}

impl ProcessRecord {
    /// Records the process that `pid` names now.
    pub fn of(pid: i32) -> Result<Self, Error> {
        Self::below(&Root::default(), pid)
    }

    /// Records the process that `pid` names on the host below `root`.
    pub fn below(root: &Root, pid: i32) -> Result<Self, Error> {
        let stat = root.read(format!("/proc/{pid}/stat")).map_err(|source| Error::Read {
            pid,
            what: "stat",
            source,
        })?;
        let boot_id = root.read("/proc/sys/kernel/random/boot_id").map_err(|source| Error::Read {
            pid,
            what: "boot_id",
            source,
        })?;
        let start_time = start_time(&stat).ok_or(Error::Malformed { pid })?;
        Ok(Self { pid, start_time, boot_id: boot_id.trim().to_owned() })
    }

    /// Opens the recorded process; `None` when it has ended (also when its number is in use again).
    pub fn open(&self) -> Result<Option<Process>, Error> {
        let pid = Pid::from_raw(self.pid).ok_or(Error::Malformed { pid: self.pid })?;
        // First the descriptor, then the comparison: what the descriptor names can no longer change.
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(source) => {
                return Err(Error::Pidfd { operation: "open", pid: self.pid, source: source.into() });
            }
        };
        match Self::of(self.pid) {
            Ok(current) if current == *self => Ok(Some(Process { fd, pid: self.pid })),
            Ok(_) | Err(Error::Read { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Finds the start time in a line of `/proc/PID/stat`. The program name in it may hold spaces and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The state is field 3, the start time field 22.
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// An open process. It becomes readable (`poll`) when the process ends.
#[derive(Debug)]
pub struct Process {
    fd: OwnedFd,
    pid: i32,
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Process {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}

impl Process {
    /// Returns the process ID.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends SIGTERM. A process that has ended already is no error.
    pub fn terminate(&self) -> Result<(), Error> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL. A process that has ended already is no error.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(source) => Err(Error::Pidfd { operation: "signal", pid: self.pid, source: source.into() }),
        }
    }

    /// Waits at most `timeout` for the end; says whether it came.
    pub fn wait(&self, timeout: std::time::Duration) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec::try_from(timeout).ok();
        matches!(rustix::event::poll(&mut fds, timeout.as_ref()), Ok(1))
    }

    /// Tells how the process ended, and reaps it when it is a child of this process.
    ///
    /// `None` while it runs, and when the kernel does not tell: it was no child, and the kernel is older
    /// than 6.15, where a pidfd began to keep the exit status.
    pub fn exit(&self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if let Ok(Some(status)) = rustix::process::waitid(WaitId::PidFd(self.fd.as_fd()), options) {
            if let Some(code) = status.exit_status() {
                return Some(Exit::Code(code));
            }
            return status.terminating_signal().map(Exit::Signal);
        }
        exit_info(self.fd.as_fd()).map(Exit::from_wait_status)
    }
}

/// Asks a pidfd for the exit status that it keeps (`PIDFD_GET_INFO`, Linux 6.15).
#[allow(unsafe_code, reason = "no crate wraps this ioctl yet")]
fn exit_info(fd: BorrowedFd<'_>) -> Option<i32> {
    /// `struct pidfd_info` of `linux/pidfd.h`, first version.
    #[repr(C)]
    #[derive(Default)]
    struct PidfdInfo {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const EXIT: u64 = 1 << 3;
    const REQUEST: libc::c_ulong =
        (3 << 30) | ((size_of::<PidfdInfo>() as libc::c_ulong) << 16) | (0xff << 8) | 0x0b;
    let mut info = PidfdInfo { mask: EXIT, ..PidfdInfo::default() };
    // SAFETY: the request carries the size of `info`, which lives across the call and which the kernel fills.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), REQUEST as _, &raw mut info) };
    (result == 0 && info.mask & EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn start_time_skips_a_hostile_program_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time("7 (a"), None);
    }

    #[test]
    #[allow(clippy::zombie_processes, reason = "reaping it is what is tested")]
    fn a_child_is_opened_signalled_and_reaped() {
        let child = Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let record = ProcessRecord::of(child.id() as i32).expect("it is recorded");
        let process = record.open().expect("it opens").expect("it runs");
        assert_eq!(process.exit(), None);
        process.terminate().expect("it is signalled");
        assert!(process.wait(Duration::from_secs(10)));
        assert_eq!(process.exit(), Some(Exit::Signal(15)));
        assert!(record.open().expect("it can be looked for").is_none());
    }

    #[test]
    fn a_reused_number_is_not_the_recorded_process() {
        let mut record = ProcessRecord::of(std::process::id() as i32).expect("it is recorded");
        assert!(record.open().expect("it opens").is_some());
        record.start_time += 1;
        assert!(record.open().expect("it can be looked for").is_none());
        record.start_time -= 1;
        record.boot_id = "another".into();
        assert!(record.open().expect("it can be looked for").is_none());
    }

    #[test]
    fn wait_statuses_are_read() {
        assert_eq!(Exit::from_wait_status(3 << 8).code(), 3);
        assert_eq!(Exit::from_wait_status(9), Exit::Signal(9));
        assert_eq!(Exit::Signal(9).code(), 137);
    }
}
