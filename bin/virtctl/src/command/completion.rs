//! `virtctl completion`

use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::cli;

/// Print a script that completes commands and flags in a shell.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl completion bash|zsh|fish",
    after_help = "Examples:\n  # In this bash:\n  source <(virtctl completion bash)\n\n  # In every zsh:\n  virtctl completion zsh > \"${fpath[1]}/_virtctl\"\n\n  # In every fish:\n  virtctl completion fish > ~/.config/fish/completions/virtctl.fish"
)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    /// Runs the command.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn run(&self) -> Result<()> {
        Ok(std::io::stdout().write_all(&script(self.shell))?)
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::complete(), "virtctl", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_learns_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in ["port-forward", "soft-reboot", "grace-period", "screenshot", "kubeconfig"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
