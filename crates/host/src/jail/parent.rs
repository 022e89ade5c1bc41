//! The kubelet's end of a jail.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::{Error, JailSpec, ROLE};
use crate::Helper;
use crate::process::ProcessRecord;

/// What `pod-init` and the first process say to the kubelet, one JSON document a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Report {
    /// The namespaces exist; this is the host's number of the first process.
    Waiting(i32),
    /// Something harmless is missing.
    Note(String),
    /// The next system call is `execve`.
    Executing,
    /// It did not work.
    Failed(String),
}

/// A Pod whose namespaces exist and whose first process waits for [`Launch::proceed`].
#[derive(Debug)]
pub struct Launch {
    channel: BufReader<UnixStream>,
    log: String,
    record: ProcessRecord,
    notes: Vec<String>,
    joining: JoinHandle<Result<(), String>>,
}

/// Makes the namespaces of a Pod and its first process, which then waits.
///
/// Blocks for a few milliseconds. `helper` runs [`super::pod_init`] in the role [`ROLE`].
pub fn start(helper: &Helper, spec: &JailSpec) -> Result<Launch, Error> {
    let log = spec.log.display().to_string();
    let spawn = |source| Error::Spawn { program: helper.program.display().to_string(), source };
    let (ours, theirs) = UnixStream::pair().map_err(spawn)?;
    let errors = std::fs::OpenOptions::new().create(true).append(true).open(&spec.log).map_err(spawn)?;
    let mut init = helper
        .command(ROLE)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .map_err(spawn)?;
    let channel = |operation| move |source| Error::Channel { operation, source };
    let mut document = serde_json::to_vec(spec)
        .map_err(|error| Error::Channel { operation: "writing the specification", source: error.into() })?;
    document.push(b'\n');
    let mut ours = ours;
    let written = ours.write_all(&document);
    let mut reader = BufReader::new(ours);
    let mut notes = Vec::new();
    let first = written
        .map_err(channel("writing the specification"))
        .and_then(|()| await_report(&mut reader, &log, &mut notes));
    // `pod-init` itself ends as soon as it has cloned, or has failed.
    let _ = init.wait();
    match first? {
        Report::Waiting(pid) => {
            let record = ProcessRecord::of(pid)?;
            let cgroups = spec.cgroups.clone();
            let joining = std::thread::Builder::new()
                .name("cgroup-join".into())
                .spawn(move || join_control_groups(&cgroups, pid))
                .map_err(spawn)?;
            Ok(Launch { channel: reader, log, record, notes, joining })
        }
        Report::Failed(message) => Err(Error::Refused(message)),
        Report::Note(_) | Report::Executing => Err(Error::Ended { log }),
    }
}

impl Launch {
    /// Returns the first process.
    pub fn first(&self) -> &ProcessRecord {
        &self.record
    }

    /// Lets the first process build its root and execute its program; returns notes on what it does without.
    ///
    /// On success the program runs. On failure the first process has ended, or is about to.
    pub fn proceed(mut self) -> Result<Vec<String>, Error> {
        let operation = "letting it proceed";
        let say = |channel: &mut BufReader<UnixStream>, word| {
            channel.get_mut().write_all(word).map_err(|source| Error::Channel { operation, source })
        };
        say(&mut self.channel, b"n")?;
        match self.joining.join() {
            Ok(joined) => joined.map_err(Error::Refused)?,
            Err(_) => return Err(Error::Refused("joining the Pod's control groups was cut short".into())),
        }
        // It may have failed before it could hear this; its report says why.
        let said = say(&mut self.channel, b"c");
        match await_report(&mut self.channel, &self.log, &mut self.notes)? {
            Report::Executing => {}
            Report::Failed(message) => return Err(Error::Refused(message)),
            Report::Note(_) | Report::Waiting(_) => return Err(Error::Ended { log: self.log }),
        }
        said?;
        // Only a failed `execve` says more: a successful one closes the channel.
        match await_report(&mut self.channel, &self.log, &mut self.notes) {
            Err(Error::Ended { .. }) => Ok(self.notes),
            Ok(Report::Failed(message)) => Err(Error::Refused(message)),
            Ok(_) => Err(Error::Ended { log: self.log }),
            Err(error) => Err(error),
        }
    }
}

/// Moves the first process into the Pod's control groups.
///
/// Done from outside and at the side: the kernel lets a grace period pass before it moves a process, some ten
/// milliseconds in which the Pod's network and root are made.
fn join_control_groups(directories: &[PathBuf], pid: i32) -> Result<(), String> {
    for directory in directories {
        std::fs::write(directory.join("cgroup.procs"), pid.to_string()).map_err(|error| {
            format!(
                "cannot move the Pod's first process into the control group {}: {error}",
                directory.display()
            )
        })?;
    }
    Ok(())
}

/// Reads the next report that is no note.
fn await_report(
    reader: &mut BufReader<UnixStream>,
    log: &str,
    notes: &mut Vec<String>,
) -> Result<Report, Error> {
    let operation = "reading its report";
    loop {
        let mut line = String::new();
        let read = match reader.read_line(&mut line) {
            Ok(read) => read,
            // The peer died with our bytes unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(source) => return Err(Error::Channel { operation, source }),
        };
        if read == 0 {
            return Err(Error::Ended { log: log.to_owned() });
        }
        match serde_json::from_str(&line) {
            Ok(Report::Note(note)) => notes.push(note),
            Ok(report) => return Ok(report),
            Err(error) => return Err(Error::Channel { operation, source: error.into() }),
        }
    }
}
