//! `up --detach`: the same program in a session of its own, watched until it is ready.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cli::{Global, UpArgs};
use crate::layout::Layout;

/// What a detached process reports once it serves.
const READY: &str = "ready";

/// Starts `up` in the background and returns once its API is ready.
///
/// # Errors
/// The sentence with which the background process failed.
pub(crate) fn detach(arguments: &UpArgs, global: &Global, layout: &Layout) -> Result<()> {
    let (reader, writer) = rustix::pipe::pipe().context("making a pipe")?;
    let log_path = layout.logs().join("ironclad.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("opening {}", log_path.display()))?;
    let mut command = Command::new(std::env::current_exe().context("finding this executable")?);
    command
        .args(["up", "--log", &global.log, "--listen", &arguments.listen.to_string()])
        .args(["--nodes", &arguments.nodes.to_string(), "--ready-fd", &writer.as_raw_fd().to_string()])
        .args(["--boot-patience", &arguments.guests.boot_patience.to_string()])
        .args(["--node-monitor-grace-period", &arguments.node_life.node_monitor_grace_period.to_string()])
        .args(arguments.image_space.words())
        .args(arguments.audit.words().context("naming the audit log")?)
        .arg("--data-dir")
        .arg(layout.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing the log file")?)
        .stderr(log);
    if let Some(network) = arguments.pod_network {
        command.args(["--pod-network", &network.to_string()]);
    }
    if let Some(path) = arguments.resolver.path()? {
        command.arg("--resolv-conf").arg(path);
    }
    let writer_number = writer.as_raw_fd();
    #[allow(unsafe_code, reason = "a new session needs a call between fork and exec")]
    // SAFETY: `setsid` and `fcntl` are async-signal-safe, and nothing else runs in the child before exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            let writer = rustix::fd::BorrowedFd::borrow_raw(writer_number);
            rustix::io::fcntl_setfd(writer, rustix::io::FdFlags::empty())?;
            Ok(())
        });
    }
    command.spawn().context("starting in the background")?;
    drop(writer);
    let mut report = String::new();
    File::from(reader).read_to_string(&mut report).context("waiting for the background process")?;
    match report.trim() {
        READY => Ok(()),
        "" => bail!("the background process ended without a word; its log is {}", log_path.display()),
        failure => bail!("{failure}\n(log: {})", log_path.display()),
    }
}

/// The starting process's end of the pipe: tells the one that waits how the start went.
#[derive(Debug)]
pub(crate) struct Report(Option<File>);

impl Report {
    /// Takes the descriptor that `--ready-fd` names.
    #[allow(unsafe_code, reason = "the descriptor was inherited under this number")]
    pub(crate) fn to(descriptor: Option<i32>) -> Self {
        // SAFETY: `detach` passed this number for this purpose alone, and nothing else owns it.
        Self(descriptor.map(|number| File::from(unsafe { OwnedFd::from_raw_fd(number) })))
    }

    /// Says that the API is ready.
    pub(crate) fn ready(&mut self) {
        self.say(READY);
    }

    /// Says why the start failed.
    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        self.say(&format!("{error:#}"));
    }

    fn say(&mut self, text: &str) {
        use std::io::Write as _;
        if let Some(mut pipe) = self.0.take() {
            // Nobody may be waiting any more; the log has the same story.
            drop(pipe.write_all(text.as_bytes()));
        }
    }
}
