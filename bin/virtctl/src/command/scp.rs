//! `virtctl scp`

use anyhow::Result;
use clap::{ArgAction, Args};

use super::exactly;
use crate::local_client::{LocalClient, LocalOptions, username};
use crate::session::Session;
use crate::target::Copy;

/// Copy files from and to a virtual machine.
///
/// The local scp does the work; its connection is forwarded to the machine as by port-forward.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl scp SOURCE DESTINATION [flags]",
    after_help = "Examples:\n  # Copy a file to the home of jdoe in 'myvm':\n  virtctl scp file.bin jdoe@vm/myvm:file.bin\n\n  # Copy a folder:\n  virtctl scp --recursive folder/ jdoe@vm/myvm:.\n\n  # Copy a file from a machine of another namespace:\n  virtctl scp jdoe@vmi/myvmi/mynamespace:file.bin ."
)]
pub(crate) struct Scp {
    #[arg(hide = true, value_name = "SOURCE DESTINATION")]
    arguments: Vec<String>,
    #[command(flatten)]
    options: LocalOptions,
    /// Keep times and modes.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    preserve: bool,
    /// Copy folders with what is in them.
    #[arg(long, short, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    recursive: bool,
}

impl Scp {
    /// Runs the command.
    ///
    /// # Errors
    /// When scp cannot be started, or fails.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [source, destination] = exactly(&self.arguments)?;
        let copy = Copy::parse(source, destination)?;
        let namespace = session.api().await?.namespace.clone();
        let client = LocalClient::new(session, &copy.login.target, &namespace, &self.options)?;
        let user = username(&copy.login, &self.options);
        let arguments = self.arguments(&copy, &client.host(user.as_deref()));
        client.run("scp", &self.options, arguments).await
    }

    fn arguments(&self, copy: &Copy, host: &str) -> Vec<String> {
        let flag = |name: &str, wanted: bool| wanted.then(|| name.to_owned());
        let remote = format!("{host}:{}", copy.remote);
        let local = copy.local.clone();
        let (source, destination) = if copy.to_remote { (local, remote) } else { (remote, local) };
        let flags = [flag("-r", self.recursive), flag("-p", self.preserve)];
        flags.into_iter().flatten().chain([source, destination]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn the_copy_keeps_its_direction() {
        let arguments = |line: &[&str]| {
            let cli = Cli::try_parse_from(["virtctl", "scp"].iter().chain(line)).unwrap();
            let Some(Command::Scp(scp)) = cli.command else { panic!("scp is scp") };
            let [source, destination] = exactly(&scp.arguments).unwrap();
            scp.arguments(&Copy::parse(source, destination).unwrap(), "jdoe@vm.a.ns")
        };
        assert_eq!(arguments(&["f", "jdoe@vm/a:g"]), ["f", "jdoe@vm.a.ns:g"]);
        assert_eq!(arguments(&["-r", "--preserve", "vm/a:g", "f"]), ["-r", "-p", "jdoe@vm.a.ns:g", "f"]);
    }
}
