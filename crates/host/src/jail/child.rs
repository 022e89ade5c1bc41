//! The Pod's end of a jail: `pod-init`, and the first process until it executes its program.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use nix::sched::CloneFlags;

use super::parent::Report;
use super::{JailSpec, identity, mounts, seccomp};

/// What went wrong, in one sentence.
pub(super) type Failure = String;

/// Makes a failure out of what was tried and the cause.
pub(super) fn failed<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| format!("{what}: {error}")
}

/// Runs [`pod_init`] on the process's standard input.
pub fn main() -> ExitCode {
    match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => pod_init(control),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs `pod-init`: makes a Pod's namespaces and its first process.
///
/// `control` is a stream socket; the specification arrives on it as one line of JSON, reports leave by it.
/// Must be called before the process has a second thread. Returns in `pod-init` itself; in the first process
/// it returns only on failure.
pub fn pod_init(control: OwnedFd) -> ExitCode {
    let mut control = UnixStream::from(control);
    match run(&mut control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            report(&mut control, &Report::Failed(message));
            ExitCode::FAILURE
        }
    }
}

fn run(control: &mut UnixStream) -> Result<(), Failure> {
    // The channel must not stay in the way of the program: it closes at `execve`.
    rustix::io::fcntl_setfd(&*control, rustix::io::FdFlags::CLOEXEC)
        .map_err(failed("cannot set up the channel to the kubelet"))?;
    let spec = read_spec(control)?;
    // Opened here, while the host's rights and files are at hand.
    let log = File::options()
        .create(true)
        .append(true)
        .open(&spec.log)
        .map_err(failed(format_args!("cannot open the log {}", spec.log.display())))?;
    if let Some(map) = spec.user_namespace {
        identity::enter_user_namespace(map)?;
    }
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if !spec.host_network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    nix::sched::unshare(flags).map_err(failed(
        "cannot make the Pod's namespaces (the machine must allow mount, IPC, UTS and network namespaces)",
    ))?;
    match clone_first_process().map_err(failed("cannot make the Pod's PID namespace"))? {
        Some(pid) => {
            report(control, &Report::Waiting(pid));
            Ok(())
        }
        None => become_program(control, &spec, log),
    }
}

/// Reads one line. Nothing follows it until the kubelet has the first report.
fn read_spec(control: &mut UnixStream) -> Result<JailSpec, Failure> {
    let mut document = Vec::new();
    let mut chunk = [0u8; 4096];
    while !document.ends_with(b"\n") {
        let read = control.read(&mut chunk).map_err(failed("cannot read the Pod's specification"))?;
        if read == 0 {
            return Err("the kubelet went away before the Pod's specification was complete".into());
        }
        document.extend_from_slice(&chunk[..read]);
    }
    serde_json::from_slice(&document).map_err(failed("cannot read the Pod's specification"))
}

/// Clones the calling process into a new PID namespace, as a child of its parent: `None` in the clone.
#[allow(unsafe_code, reason = "no safe wrapper clones a sibling")]
fn clone_first_process() -> std::io::Result<Option<i32>> {
    let arguments = libc::clone_args {
        flags: (libc::CLONE_NEWPID | libc::CLONE_PARENT) as u64,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        // With CLONE_PARENT the parent is told as it is of us.
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: without CLONE_VM and without a stack of its own this is a fork. The caller has one thread, so
    // that no lock is held by a thread that the clone lacks.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match result {
        -1 => Err(std::io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid as i32)),
    }
}

/// Turns the first process into the Pod's program. Returns only on failure.
fn become_program(control: &mut UnixStream, spec: &JailSpec, log: File) -> Result<(), Failure> {
    await_word(control)?;
    nix::unistd::setsid().map_err(failed("cannot start a session"))?;
    nix::unistd::sethostname(&spec.hostname).map_err(failed("cannot set the Pod's host name"))?;
    for note in mounts::build(spec)? {
        report(control, &Report::Note(note));
    }
    for limit in &spec.limits {
        identity::limit(*limit);
    }
    let null = File::options().read(true).open("/dev/null").map_err(failed("cannot open /dev/null"))?;
    let error_log = log.try_clone().map_err(failed("cannot duplicate the log"))?;
    close_inherited_on_exec()?;
    identity::drop_rights(spec)?;
    if spec.seccomp {
        seccomp::apply()?;
    }
    await_word(control)?;
    report(control, &Report::Executing);
    let (name, arguments) = spec.arguments.split_first().ok_or("the Pod has no command")?;
    let mut command = Command::new(&spec.program);
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(spec.environment.iter().map(|(key, value)| (key, value)))
        .current_dir(&spec.directory)
        .stdin(Stdio::from(null))
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(error_log));
    let error = command.exec();
    Err(format!("cannot execute {} inside the Pod: {error}", spec.program.display()))
}

/// Waits for the kubelet's next word, of which there are two: the network is wired up; the control groups are joined.
fn await_word(control: &mut UnixStream) -> Result<(), Failure> {
    match control.read(&mut [0u8; 1]) {
        Ok(1) => Ok(()),
        _ => Err("the kubelet went away before the Pod was complete".into()),
    }
}

/// Marks every descriptor but the standard ones to close at `execve`.
#[allow(unsafe_code, reason = "no crate wraps close_range")]
fn close_inherited_on_exec() -> Result<(), Failure> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: with this flag the call closes nothing now; it only marks descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    Err(format!("cannot close inherited descriptors: {}", std::io::Error::last_os_error()))
}

/// Tells the kubelet. It may be gone; then nobody is left to tell.
fn report(control: &mut UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = control.write_all(&line);
    }
}
