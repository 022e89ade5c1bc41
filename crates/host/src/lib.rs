//! The machine below us: processes, jails, control groups, accelerators, and what of it this user may use.
//!
//! Whatever is read from the machine is read below a [`Root`], so that a test can present a made-up host.

pub mod cgroup;
pub mod jail;
pub mod kvm;
pub mod probe;
pub mod process;
mod root;
pub mod space;

pub use root::Root;

/// A program to run again in a hidden role, usually this very executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// The executable.
    pub program: std::path::PathBuf,
    /// What it is called in lists of processes, where that is not its path.
    pub name: Option<std::path::PathBuf>,
    /// Arguments that come before the role's own.
    pub arguments: Vec<String>,
}

impl Helper {
    /// Makes the helper that starts `program` without leading arguments.
    pub fn new(program: impl Into<std::path::PathBuf>) -> Self {
        Self { program: program.into(), name: None, arguments: Vec::new() }
    }

    /// Makes the helper that is the program that runs now, also when an upgrade has put another in its place: the two would
    /// not understand each other.
    ///
    /// # Errors
    /// When the kernel does not say what runs.
    pub fn running() -> std::io::Result<Self> {
        let name = Some(std::env::current_exe()?);
        Ok(Self { program: "/proc/self/exe".into(), name, arguments: Vec::new() })
    }

    /// Returns the command that starts the helper in `role` (a hidden subcommand).
    pub fn command(&self, role: &str) -> std::process::Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = std::process::Command::new(&self.program);
        if let Some(name) = &self.name {
            command.arg0(name);
        }
        command.args(&self.arguments).arg(role);
        command
    }
}
