//! The command line of the launcher executable.

use std::path::PathBuf;

use wire::probe::{GuestProbe, Mistake};

/// What the executable does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// First process of the Pod.
    Shim(Options),
    /// The launcher, started by the shim.
    Launcher(Options),
    /// Says what there is.
    Help,
    /// Says which release it is.
    Version,
    /// Asks the guest's agent, for a kubelet.
    Probe(GuestProbe),
    /// Follows a console log.
    Tail {
        /// The log.
        logfile: PathBuf,
    },
}

/// Where a machine's supervisor lives and whom it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Private directory of the Pod: control sockets, records, logs.
    pub run_dir: PathBuf,
    /// Directory of the sockets that the agent connects to.
    pub socket_dir: PathBuf,
    /// Name of the machine.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// UID of its `VirtualMachineInstance`.
    pub uid: String,
}

impl Options {
    /// Returns the command line that gives these options to `mode`.
    pub fn arguments(&self, mode: &str) -> Vec<String> {
        vec![
            mode.to_owned(),
            "--run-dir".to_owned(),
            self.run_dir.display().to_string(),
            "--socket-dir".to_owned(),
            self.socket_dir.display().to_string(),
            "--name".to_owned(),
            self.name.clone(),
            "--namespace".to_owned(),
            self.namespace.clone(),
            "--uid".to_owned(),
            self.uid.clone(),
        ]
    }
}

/// A command line that is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No mode, or an unknown one.
    #[error("{0:?} is no mode; use shim, virt-launcher, virt-tail or virt-probe, or see --help")]
    Mode(String),
    /// An unknown option.
    #[error("{0:?} is no option of this mode")]
    Option(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    Value(String),
    /// An option that is required and absent.
    #[error("{0} is required")]
    Required(&'static str),
}

impl From<Mistake> for UsageError {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::Option(name) => Self::Option(name),
            Mistake::Value(name) => Self::Value(name),
            Mistake::Incomplete => {
                Self::Required("--run-dir, --socket-dir and one of --guestAgentPing and --command")
            }
        }
    }
}

/// What `--help` says.
pub const HELP: &str = "\
Supervises one virtual machine. The node's agents start it; there is nothing here for people to start.

Usage:
  ironclad-launcher shim --run-dir DIR --socket-dir DIR [--name NAME --namespace NAMESPACE --uid UID]
  ironclad-launcher virt-launcher --run-dir DIR --socket-dir DIR [--name NAME --namespace NAMESPACE --uid UID]
  ironclad-launcher virt-tail --logfile FILE
  ironclad-launcher virt-probe --run-dir DIR --socket-dir DIR --timeoutSeconds N (--guestAgentPing | --command PROGRAM -- ARGUMENT...)
  ironclad-launcher --help | --version

Modes:
  shim           first process of a launcher Pod: starts virt-launcher and the hypervisor, and outlives both
  virt-launcher  controls the hypervisor for the agent that connects to its sockets
  virt-tail      writes a console's log to standard output, and what is added to it
  virt-probe     asks the guest's agent whether it answers, or has it run a program; ends as that does
";

/// Reads a command line, without the program's name. Options are `--name value` or `--name=value`.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Mode, UsageError> {
    let mut arguments = arguments.into_iter();
    let mode = arguments.next().unwrap_or_default();
    match mode.as_str() {
        "--help" | "-h" | "help" => return Ok(Mode::Help),
        "--version" | "-V" => return Ok(Mode::Version),
        wire::probe::MODE => return Ok(Mode::Probe(GuestProbe::parse(arguments)?)),
        _ => {}
    }
    let mut options = Options::default();
    let mut logfile = PathBuf::new();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, arguments.next()),
        };
        let value = value.ok_or_else(|| UsageError::Value(name.clone()))?;
        match (mode.as_str(), name.as_str()) {
            ("virt-tail", "--logfile") => logfile = value.into(),
            ("shim" | "virt-launcher", "--run-dir") => options.run_dir = value.into(),
            ("shim" | "virt-launcher", "--socket-dir") => options.socket_dir = value.into(),
            ("shim" | "virt-launcher", "--name") => options.name = value,
            ("shim" | "virt-launcher", "--namespace") => options.namespace = value,
            ("shim" | "virt-launcher", "--uid") => options.uid = value,
            _ => return Err(UsageError::Option(name)),
        }
    }
    let required = |path: &PathBuf, option| {
        if path.as_os_str().is_empty() { Err(UsageError::Required(option)) } else { Ok(()) }
    };
    match mode.as_str() {
        "virt-tail" => {
            required(&logfile, "--logfile")?;
            Ok(Mode::Tail { logfile })
        }
        "shim" | "virt-launcher" => {
            required(&options.run_dir, "--run-dir")?;
            required(&options.socket_dir, "--socket-dir")?;
            Ok(if mode == "shim" { Mode::Shim(options) } else { Mode::Launcher(options) })
        }
        _ => Err(UsageError::Mode(mode)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Mode, UsageError> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_the_shim_passes_on_is_understood() {
        let Ok(Mode::Shim(options)) = of("shim --run-dir=/r --socket-dir /s --name n --namespace=ns --uid u")
        else {
            panic!("a shim");
        };
        assert_eq!(parse(options.arguments("virt-launcher")), Ok(Mode::Launcher(options)));
        assert_eq!(of("virt-tail --logfile /l"), Ok(Mode::Tail { logfile: "/l".into() }));
    }

    #[test]
    fn mistakes_are_named() {
        for word in ["--help", "-h", "help"] {
            assert_eq!(of(word), Ok(Mode::Help));
        }
        assert_eq!(of("--version"), Ok(Mode::Version));
        assert_eq!(of(""), Err(UsageError::Mode(String::new())));
        assert!(matches!(of("virt-probe --guestAgentPing"), Err(UsageError::Required(_))));
        assert_eq!(of("shim --run-dir"), Err(UsageError::Value("--run-dir".to_owned())));
        assert_eq!(of("shim --run-dir /r"), Err(UsageError::Required("--socket-dir")));
        assert_eq!(of("virt-tail --uid x"), Err(UsageError::Option("--uid".to_owned())));
    }
}
