//! The first process of a launcher Pod.
//!
//! It has no runtime and allocates little: it lives as long as the machine and there is one for each. It
//! starts the launcher and starts another one when that dies; it executes the hypervisor when the launcher
//! asks; it reaps everything, as the first process of a PID namespace must; it writes how the hypervisor
//! ended into the run directory. Asked to end (SIGTERM), it has the launcher shut the guest down, and kills
//! what is left when the grace period is over.
//!
//! It ends with 0 when the guest ended by itself or on request, with 1 when the hypervisor crashed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hypervisor::{Invocation, process};
use launcher_channel::seqpacket;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::clock::now_ms;
use crate::options::Options;
use crate::{files, shim::backoff::Backoff};

mod backoff;
mod descriptors;
pub(crate) mod exit;
pub(crate) mod protocol;

use exit::Exit;
use protocol::{Notice, Request, Running};

/// Number at which a launcher finds its end of the socket pair.
pub(crate) const LINK: i32 = 3;

/// What the launcher may take beyond the guest's grace period before the shim acts itself.
const MARGIN: Duration = Duration::from_secs(10);

/// Why the shim cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The launcher could not be executed.
    #[error("start the launcher: {0}")]
    Launcher(#[from] process::SpawnError),
}

/// Runs as the Pod's first process and returns its exit code. `program` is this executable.
pub fn run(program: &Path, options: Options) -> Result<u8, Error> {
    descriptors::close_on_execution();
    // A guest's files and sockets are nobody else's business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    signals.thread_block().map_err(system("block signals"))?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(system("make a signalfd"))?;
    let exit_path = options.run_dir.join(files::EXIT_CODE);
    let exit_code = files::Reserved::make(&exit_path);
    let code = Shim {
        program: program.to_owned(),
        options,
        signals,
        incarnation: 0,
        launcher: None,
        link: None,
        restart_at: Some(Instant::now()),
        backoff: Backoff::default(),
        hypervisor: None,
        killed: false,
        exit: None,
        kept: Vec::new(),
        grace: Duration::ZERO,
        terminating: false,
        deadline: None,
    }
    .run()?;
    // For whoever did not see this process end, such as a kubelet that was away.
    let exit_code = exit_code.or_else(|_| files::Reserved::make(&exit_path));
    if let Err(error) = exit_code.and_then(|file| file.fill(code.to_string().as_bytes())) {
        tracing::warn!(%error, "leave the exit code behind");
    }
    Ok(code)
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::System { what, source: source.into() }
}

struct Shim {
    program: PathBuf,
    options: Options,
    signals: SignalFd,
    incarnation: u32,
    /// The launcher that runs, and since when.
    launcher: Option<(Pid, Instant)>,
    link: Option<OwnedFd>,
    restart_at: Option<Instant>,
    backoff: Backoff,
    hypervisor: Option<Running>,
    /// Whether the running hypervisor was killed on request.
    killed: bool,
    exit: Option<Exit>,
    kept: Vec<(String, OwnedFd)>,
    grace: Duration,
    terminating: bool,
    /// When the shim stops waiting for its launcher: it kills the hypervisor, or ends.
    deadline: Option<Instant>,
}

impl Shim {
    fn run(mut self) -> Result<u8, Error> {
        loop {
            let now = Instant::now();
            if self.restart_at.is_some_and(|at| at <= now) {
                self.restart_at = None;
                match self.start_launcher() {
                    // A machine that runs must not end because a launcher cannot start just now.
                    Err(error) if self.hypervisor.is_some() => {
                        tracing::error!(%error, "start another launcher");
                        self.restart_at = Some(self.backoff.next(now, now));
                    }
                    started => started?,
                }
            }
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                match (&self.hypervisor, &self.link) {
                    (Some(_), _) => {
                        self.kill_hypervisor();
                        self.deadline = Some(now + MARGIN);
                    }
                    // A launcher is there and may start another machine.
                    (None, Some(_)) if !self.terminating => self.deadline = None,
                    (None, _) => return Ok(self.own_code()),
                }
            }
            let (signalled, linked) = self.wait(now)?;
            if signalled {
                self.heed_signals();
            }
            if linked && let Some(code) = self.heed_launcher() {
                return Ok(code);
            }
        }
    }

    /// Waits for a signal, a message or the next deadline.
    fn wait(&self, now: Instant) -> Result<(bool, bool), Error> {
        let next = self.restart_at.into_iter().chain(self.deadline).min();
        // Rounded up: waking early would only mean waiting again.
        let timeout = next.map_or(PollTimeout::NONE, |at| {
            let wait = at.saturating_duration_since(now) + Duration::from_millis(1);
            PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
        });
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(link) = &self.link {
            polled.push(PollFd::new(link.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(system("wait for events")(error)),
        }
        let ready = |place: usize| {
            polled.get(place).and_then(PollFd::revents).is_some_and(|events| !events.is_empty())
        };
        Ok((ready(0), ready(1)))
    }

    fn start_launcher(&mut self) -> Result<(), Error> {
        let (ours, theirs) = seqpacket::pair().map_err(system("make a socket pair"))?;
        let invocation = Invocation {
            prepare: Vec::new(),
            program: self.program.clone(),
            args: self.options.arguments("virt-launcher"),
            env: Vec::new(),
            descriptors: Vec::new(),
            companions: Vec::new(),
        };
        let pid = process::spawn(&invocation, vec![(LINK, theirs)], io::stderr().as_fd())?;
        self.incarnation += 1;
        self.launcher = Some((Pid::from_raw(pid), Instant::now()));
        let hello = Notice::Hello {
            incarnation: self.incarnation,
            running: self.hypervisor,
            exit: self.exit.clone(),
            kept: self.kept.iter().map(|(name, _)| name.clone()).collect(),
            terminating: self.terminating,
        };
        let kept: Vec<_> = self.kept.iter().map(|(_, fd)| fd.as_fd()).collect();
        if let Err(error) = seqpacket::send(&ours, &hello, &kept) {
            tracing::warn!(%error, "greet the launcher");
        }
        self.link = Some(ours);
        Ok(())
    }

    fn heed_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != Signal::SIGCHLD as u32 && !self.terminating {
                self.terminating = true;
                self.deadline = Some(Instant::now() + self.grace + MARGIN);
                self.tell(&Notice::Terminate);
            }
        }
        self.reap();
    }

    fn reap(&mut self) {
        // Every child, also what others left behind in this PID namespace.
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { return };
            if let Some((launcher, started)) = self.launcher
                && launcher == pid
            {
                tracing::warn!(?status, "the launcher died; starting another one");
                self.launcher = None;
                self.link = None;
                self.restart_at = Some(self.backoff.next(started, Instant::now()));
            }
            if self.hypervisor.is_some_and(|hypervisor| hypervisor.pid == pid.as_raw())
                && let Some(exit) = Exit::of(status, self.killed, now_ms())
            {
                self.hypervisor_ended(exit);
            }
        }
    }

    fn hypervisor_ended(&mut self, exit: Exit) {
        self.hypervisor = None;
        self.kept.clear();
        self.write(files::EXIT, &exit);
        if let Err(error) = files::remove(&self.options.run_dir.join(files::HYPERVISOR)) {
            tracing::warn!(%error, "remove the hypervisor's record");
        }
        self.tell(&Notice::Exited(exit.clone()));
        self.exit = Some(exit);
        // A launcher that does not come back must not keep a Pod without a machine alive.
        self.deadline = Some(Instant::now() + 3 * MARGIN);
    }

    /// Receives what the launcher asks; returns the exit code when it says that all is done.
    fn heed_launcher(&mut self) -> Option<u8> {
        let link = self.link.as_ref()?;
        match seqpacket::receive::<Request>(link) {
            Ok(Some((Request::Execute { invocation, keep, grace_period_seconds }, fds))) => {
                self.execute(&invocation, keep, grace_period_seconds, fds);
            }
            Ok(Some((Request::Kill, _))) => self.kill_hypervisor(),
            Ok(Some((Request::Finish { code }, _))) => return Some(code),
            // Reaping it is what starts the next one.
            Ok(None) => self.link = None,
            Err(error) => {
                tracing::warn!(%error, "the launcher's message is not understood");
                if error.kind() != io::ErrorKind::InvalidData {
                    self.link = None;
                }
            }
        }
        None
    }

    fn execute(
        &mut self,
        invocation: &Invocation,
        keep: Vec<String>,
        grace_seconds: u64,
        mut fds: Vec<OwnedFd>,
    ) {
        let answer = if self.hypervisor.is_some() {
            Err("a hypervisor runs already".to_owned())
        } else if fds.len() == invocation.descriptors.len() + keep.len() {
            let kept = fds.split_off(invocation.descriptors.len());
            let executed = self.execute_now(invocation, fds);
            if executed.is_ok() {
                self.kept = keep.into_iter().zip(kept).collect();
            }
            executed
        } else {
            Err(format!(
                "{} descriptors came for {} names",
                fds.len(),
                invocation.descriptors.len() + keep.len()
            ))
        };
        match answer {
            Ok(running) => {
                self.grace = Duration::from_secs(grace_seconds);
                self.exit = None;
                self.killed = false;
                // One that was running out for an earlier hypervisor.
                if !self.terminating {
                    self.deadline = None;
                }
                self.hypervisor = Some(running);
                self.tell(&Notice::Executed(running));
            }
            Err(reason) => self.tell(&Notice::NotExecuted { reason }),
        }
    }

    fn execute_now(&self, invocation: &Invocation, fds: Vec<OwnedFd>) -> Result<Running, String> {
        let log = self.options.run_dir.join(files::HYPERVISOR_LOG);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| format!("open {}: {error}", log.display()))?;
        log.set_len(0).map_err(|error| format!("empty the hypervisor's log: {error}"))?;
        files::remove(&self.options.run_dir.join(files::EXIT)).map_err(|error| error.to_string())?;
        process::prepare(invocation).map_err(|error| error.to_string())?;
        let numbers = invocation.descriptors.iter().map(|inherited| inherited.number);
        let mut numbered: Vec<_> = numbers.zip(fds).collect();
        for companion in &invocation.companions {
            process::accompany(invocation, companion, &mut numbered, log.as_fd())
                .map_err(|error| error.to_string())?;
        }
        let executed_at_ms = now_ms();
        let pid = process::spawn(invocation, numbered, log.as_fd()).map_err(|error| {
            format!("{error}; install QEMU on the node (Debian: qemu-system-x86); the start is tried again")
        })?;
        let running = Running { pid, executed_at_ms };
        self.write(files::HYPERVISOR, &running);
        Ok(running)
    }

    fn kill_hypervisor(&mut self) {
        if let Some(hypervisor) = self.hypervisor {
            self.killed = true;
            // It is our child and not reaped, so the number is still its own.
            if let Err(error) = kill(Pid::from_raw(hypervisor.pid), Signal::SIGKILL) {
                tracing::warn!(%error, pid = hypervisor.pid, "kill the hypervisor");
            }
        }
    }

    fn tell(&self, notice: &Notice) {
        if let Some(link) = &self.link
            && let Err(error) = seqpacket::send(link, notice, &[])
        {
            tracing::warn!(%error, "tell the launcher");
        }
    }

    fn write(&self, file: &str, content: &impl serde::Serialize) {
        let written = serde_json::to_vec(content)
            .map_err(io::Error::from)
            .and_then(|bytes| files::write(&self.options.run_dir.join(file), &bytes));
        if let Err(error) = written {
            tracing::warn!(%error, file, "write a record");
        }
    }

    /// The exit code when no launcher could say one.
    fn own_code(&self) -> u8 {
        match &self.exit {
            Some(exit) if !exit.success() && !exit.killed_on_request => 1,
            _ => 0,
        }
    }
}
