//! One running `ironclad up` for each data directory: the lock that says so, and the process that holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::layout::Layout;

/// How long a process that was killed may take to let go of the lock: its memory goes before its files do, and a program
/// that it was about to start holds them for a moment longer.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// The lock of a data directory, held for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Instance {
    _file: File,
}

impl Instance {
    /// Takes the lock.
    ///
    /// # Errors
    /// When another process holds it; the message names that process.
    pub(crate) fn claim(layout: &Layout) -> Result<Self> {
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        let deadline = Instant::now() + LAST_BREATH;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            file.rewind()?;
            let holder = read_pid(&mut file);
            if holder.is_some_and(is_dying) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            bail!(
                "{holder} already runs `ironclad up` on {}; stop it by `ironclad down`, or give this one a --data-dir of its own",
                layout.root().display()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id()).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { _file: file })
    }

    /// Returns the process that runs on this data directory, if one does.
    pub(crate) fn running(layout: &Layout) -> Option<u32> {
        let mut file = OpenOptions::new().read(true).write(true).open(layout.lock()).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => None,
            Err(_) => read_pid(&mut file),
        }
    }
}

/// Asks process `pid` to end and waits until it has; kills it after `patience`.
pub(crate) fn stop(pid: u32, patience: Duration) -> Result<()> {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        bail!("{pid} is not a process ID");
    };
    let Ok(handle) = pidfd_open(target, PidfdFlags::empty()) else {
        return Ok(()); // it is gone
    };
    pidfd_send_signal(&handle, Signal::TERM).with_context(|| format!("asking process {pid} to end"))?;
    if !wait(&handle, patience)? {
        pidfd_send_signal(&handle, Signal::KILL).with_context(|| format!("killing process {pid}"))?;
        wait(&handle, Duration::from_secs(5))?;
    }
    Ok(())
}

/// Waits until the process behind `handle` has ended; returns whether it has.
fn wait(handle: &impl std::os::fd::AsFd, patience: Duration) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, poll};
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec::try_from(left).context("waiting for a process")?;
        let mut descriptors = [PollFd::new(handle, PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for a process"),
        }
    }
}

/// Says whether a process has ended, even if something of it is still there.
fn is_dying(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DataDir;

    fn layout(directory: &std::path::Path) -> Layout {
        let layout = Layout::of(&DataDir { data_dir: Some(directory.to_owned()) }).unwrap();
        layout.create().unwrap();
        layout
    }

    #[test]
    fn a_second_one_is_told_who_is_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path());
        let first = Instance::claim(&layout).unwrap();
        let refusal = Instance::claim(&layout).unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        assert_eq!(Instance::running(&layout), Some(std::process::id()));
        drop(first);
        assert_eq!(Instance::running(&layout), None);
    }

    #[test]
    fn one_that_is_dying_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path());
        let first = Instance::claim(&layout).unwrap();
        // No process has the number 0.
        std::fs::write(layout.lock(), "0").unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Instance::claim(&layout).map(drop));
            std::thread::sleep(Duration::from_millis(50));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }
}
