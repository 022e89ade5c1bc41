//! Asks an installed QEMU what it is and can do.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use qmp::command::{self, MachineType};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::process::Command;
use wire::machine::Accelerator;

/// What an installed QEMU is and can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The binary.
    pub program: PathBuf,
    /// Its version, for example `10.0.2`.
    pub version: String,
    /// What the distribution calls it.
    pub package: String,
    /// Its machine types.
    pub machines: Vec<MachineType>,
    /// Accelerators that are built in. That one is built in does not say that it works on this host.
    pub accelerators: Vec<Accelerator>,
    /// Processor models that its emulator knows.
    pub cpu_models: Vec<String>,
    /// Processor features that guests can have under emulation.
    pub emulated_features: BTreeSet<String>,
}

impl Facts {
    /// Returns the concrete machine type that `name` means: itself, or what it is an alias of.
    pub fn machine(&self, name: &str) -> Option<&str> {
        let known = |machine: &&MachineType| machine.name == name || machine.alias.as_deref() == Some(name);
        self.machines.iter().find(known).map(|machine| machine.name.as_str())
    }

    /// Returns the aliases with the concrete machine types that they mean.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &str)> {
        self.machines.iter().filter_map(|machine| Some((machine.alias.as_deref()?, machine.name.as_str())))
    }
}

/// Why a binary could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be executed.
    #[error("{program} cannot be executed; is qemu-system-x86 installed?")]
    Execute {
        /// The binary.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It does not answer as QEMU does.
    #[error("{program} does not say what it can do")]
    Ask {
        /// The binary.
        program: PathBuf,
        /// What went wrong.
        source: qmp::Error,
    },
}

#[derive(Serialize)]
struct QomListTypes {
    implements: &'static str,
}

#[derive(Deserialize)]
struct Type {
    name: String,
}

impl command::Command for QomListTypes {
    const NAME: &'static str = "qom-list-types";
    type Answer = Vec<Type>;
}

/// Starts `program` without a machine, asks, and ends it. Takes some tenths of a second.
pub async fn probe(program: &Path) -> Result<Facts, Error> {
    let failed = |source| Error::Execute { program: program.to_owned(), source };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let stream = UnixStream::from_std(ours).map_err(failed)?;
    let theirs = OwnedFd::from(theirs);
    let input = theirs.try_clone().map_err(failed)?;
    let mut child = Command::new(program)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "none",
            "-display",
            "none",
            "-S",
            "-qmp",
            "stdio",
        ])
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(theirs))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let asked = ask(stream, program).await;
    // It has been told to quit, or it is killed when `child` is dropped.
    if asked.is_ok() {
        let _ = child.wait().await;
    }
    asked.map_err(|source| Error::Ask { program: program.to_owned(), source })
}

async fn ask(stream: UnixStream, program: &Path) -> Result<Facts, qmp::Error> {
    let (client, _events) = qmp::Client::new(stream).await?;
    let machines = client.run(&command::QueryMachines {}).await?;
    let types = client.run(&QomListTypes { implements: "accel" }).await?;
    let models = client.run(&command::QueryCpuDefinitions {}).await?;
    // Without a machine it is the emulator that answers.
    let everything = command::CpuModel { name: "max".to_owned(), props: serde_json::Map::new() };
    let expanded =
        client.run(&command::QueryCpuModelExpansion { kind: "full", model: everything }).await?.model.props;
    let version = client.version();
    let facts = Facts {
        program: program.to_owned(),
        version: version.qemu.to_string(),
        package: version.package.trim().to_owned(),
        machines,
        accelerators: types.iter().filter_map(|kind| accelerator(&kind.name)).collect(),
        cpu_models: models.into_iter().map(|model| model.name).collect(),
        emulated_features: features(&expanded),
    };
    match client.run(&command::Quit {}).await {
        Ok(_) | Err(qmp::Error::Closed) => Ok(facts),
        Err(error) => Err(error),
    }
}

/// Returns the names of what is on. Beside features these are some switches of the model, which nobody asks for.
fn features(properties: &serde_json::Map<String, serde_json::Value>) -> BTreeSet<String> {
    properties
        .iter()
        .filter(|(_, value)| **value == serde_json::Value::Bool(true))
        .map(|(name, _)| name.clone())
        .collect()
}

fn accelerator(kind: &str) -> Option<Accelerator> {
    match kind {
        "kvm-accel" => Some(Accelerator::Kvm),
        "mshv-accel" => Some(Accelerator::Mshv),
        "tcg-accel" => Some(Accelerator::Tcg),
        _ => None,
    }
}
