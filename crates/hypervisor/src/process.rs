//! Executes an invocation: descriptors at their numbers, a clean environment.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;

use crate::{Companion, Invocation, Preparation};

/// Numbers that an invocation's descriptors may take; sources are moved above before they are placed, which
/// has to fit into the usual limit of 1024.
pub const HIGHEST_NUMBER: i32 = 511;

/// Why a process could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A preparation failed.
    #[error("prepare {what}: {source}")]
    Prepare {
        /// The file.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The node lacks something.
    #[error("{remedy}")]
    Missing {
        /// What is wrong, and what to do.
        remedy: String,
    },
    /// The process could not be made.
    #[error("execute {program}: {source}")]
    Execute {
        /// The executable.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Puts in place what the invocation needs before it is executed.
pub fn prepare(invocation: &Invocation) -> Result<(), SpawnError> {
    for step in &invocation.prepare {
        let (what, done) = match step {
            Preparation::Copy { from, to } => (from, copy(from, to)),
            Preparation::Remove { path } => (path, remove(path)),
            Preparation::Directory { path } => (path, directory(path)),
            Preparation::Need { path, .. } if path.exists() => continue,
            Preparation::Need { remedy, .. } => {
                return Err(SpawnError::Missing { remedy: remedy.clone() });
            }
        };
        done.map_err(|source| SpawnError::Prepare { what: what.display().to_string(), source })?;
    }
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    let bytes = std::fs::read(from)?;
    remove(to)?;
    // Not `fs::copy`: it would carry over that the installed file is read-only.
    std::fs::write(to, bytes)
}

fn remove(path: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn directory(path: &std::path::Path) -> std::io::Result<()> {
    match std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Executes a companion of `invocation`, to be reaped by the caller, and puts the hypervisor's end of its channel to the
/// `descriptors` of the hypervisor, from which it takes its own.
pub fn accompany(
    invocation: &Invocation,
    companion: &Companion,
    descriptors: &mut Vec<(i32, OwnedFd)>,
    output: BorrowedFd<'_>,
) -> Result<(), SpawnError> {
    let program = companion.program.display().to_string();
    let (ours, theirs) =
        std::os::unix::net::UnixStream::pair().map_err(|source| SpawnError::Execute { program, source })?;
    let process = Invocation {
        prepare: Vec::new(),
        program: companion.program.clone(),
        args: companion.args.clone(),
        env: invocation.env.clone(),
        descriptors: Vec::new(),
        companions: Vec::new(),
    };
    let mut its = vec![(Companion::CHANNEL, OwnedFd::from(theirs))];
    for (number, taken) in (Companion::TAKEN..).zip(&companion.takes) {
        if let Some(place) = descriptors.iter().position(|(known, _)| known == taken) {
            its.push((number, descriptors.swap_remove(place).1));
        }
    }
    spawn(&process, its, output)?;
    descriptors.push((companion.number, ours.into()));
    Ok(())
}

/// Executes the invocation and returns its process ID. `descriptors` are the open sources by their number in
/// the new process; `output` becomes its standard output and error; standard input is empty.
///
/// The caller reaps the process, and sees to it that its own descriptors close on execution.
pub fn spawn(
    invocation: &Invocation,
    descriptors: Vec<(i32, OwnedFd)>,
    output: BorrowedFd<'_>,
) -> Result<i32, SpawnError> {
    let program = invocation.program.display().to_string();
    let failed = |source: std::io::Error| SpawnError::Execute { program: program.clone(), source };
    // A source may sit on a number that another one is to take, so all go above the range first.
    let mut placed = Vec::with_capacity(descriptors.len() + 1);
    for (number, fd) in descriptors {
        if !(3..=HIGHEST_NUMBER).contains(&number) {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::InvalidInput)));
        }
        placed.push((number, above(fd.as_fd()).map_err(failed)?));
    }
    let empty = std::fs::File::open("/dev/null").map_err(failed)?;
    let empty = above(empty.as_fd()).map_err(failed)?;
    let output = above(output).map_err(failed)?;

    let run = || -> nix::Result<i32> {
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(empty.as_raw_fd(), 0)?;
        actions.add_dup2(output.as_raw_fd(), 1)?;
        actions.add_dup2(output.as_raw_fd(), 2)?;
        for (number, fd) in &placed {
            actions.add_dup2(fd.as_raw_fd(), *number)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETPGROUP,
        )?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        // Its own group: a terminal's Ctrl-C that ends the supervisor must not end guests.
        attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
        let path = c_string(program.as_bytes())?;
        let mut args = vec![path.clone()];
        for arg in &invocation.args {
            args.push(c_string(arg.as_bytes())?);
        }
        let mut env = Vec::new();
        for (name, value) in &invocation.env {
            env.push(c_string(format!("{name}={value}").as_bytes())?);
        }
        let pid = posix_spawn(path.as_c_str(), &actions, &attributes, &args, &env)?;
        Ok(pid.as_raw())
    };
    run().map_err(|errno| failed(errno.into()))
}

fn above(fd: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, HIGHEST_NUMBER + 1)?)
}

fn c_string(bytes: &[u8]) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| nix::errno::Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn descriptors_arrive_at_their_numbers() {
        let mut output = tempfile::tempfile().unwrap();
        let mut given = Vec::new();
        for number in 3..8 {
            let (reader, mut writer) = std::io::pipe().unwrap();
            std::io::Write::write_all(&mut writer, format!("{number}\n").as_bytes()).unwrap();
            given.push((10 - number, OwnedFd::from(reader)));
        }
        let invocation = Invocation {
            prepare: Vec::new(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "cat <&3 <&4; cat <&7; echo $ONLY $PATH".into()],
            env: vec![("ONLY".into(), "this".into()), ("PATH".into(), "/usr/bin:/bin".into())],
            descriptors: Vec::new(),
            companions: Vec::new(),
        };
        let pid = spawn(&invocation, given, output.as_fd()).unwrap();
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        // The last redirection wins: 4 reads the pipe that holds 6; 7 holds 3.
        assert_eq!(text, "6\n3\nthis /usr/bin:/bin\n");
    }

    #[test]
    fn a_companion_takes_what_is_its_own() {
        let output = tempfile::tempfile().unwrap();
        let companion = Companion {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "cat <&4 >&3".into()],
            number: 9,
            takes: vec![3],
        };
        let invocation = Invocation {
            prepare: Vec::new(),
            program: "/bin/true".into(),
            args: Vec::new(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            descriptors: Vec::new(),
            companions: vec![companion.clone()],
        };
        let mut state = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut state, b"kept").unwrap();
        state.rewind().unwrap();
        let other = std::fs::File::open("/dev/null").unwrap();
        let mut descriptors = vec![(3, OwnedFd::from(state)), (4, OwnedFd::from(other))];
        accompany(&invocation, &companion, &mut descriptors, output.as_fd()).unwrap();
        let numbers: Vec<i32> = descriptors.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [4, 9]);
        let mut told = String::new();
        let channel = descriptors.pop().unwrap().1;
        std::os::unix::net::UnixStream::from(channel).read_to_string(&mut told).unwrap();
        assert_eq!(told, "kept");
    }

    #[test]
    fn a_missing_program_is_named() {
        let invocation = Invocation {
            prepare: Vec::new(),
            program: "/nonexistent/qemu".into(),
            args: Vec::new(),
            env: Vec::new(),
            descriptors: Vec::new(),
            companions: Vec::new(),
        };
        let output = tempfile::tempfile().unwrap();
        let error = spawn(&invocation, Vec::new(), output.as_fd()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/qemu"), "{error}");
    }
}
