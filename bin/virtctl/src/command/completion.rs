//! `virtctl completion`

use anyhow::Result;
use clap::{Args, ValueEnum as _};
use clap_complete::Shell;

use crate::cli;
use crate::say::{self, say};
use crate::usage::UsageError;

/// Print a script that completes commands and flags in a shell.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl completion bash|zsh|fish",
    after_help = "Examples:\n  # In this bash:\n  source <(virtctl completion bash)\n\n  # In every zsh:\n  virtctl completion zsh > \"${fpath[1]}/_virtctl\"\n\n  # In every fish:\n  virtctl completion fish > ~/.config/fish/completions/virtctl.fish"
)]
pub(crate) struct Completion {
    #[arg(hide = true, value_name = "SHELL")]
    arguments: Vec<String>,
    /// Leave out what commands are for. This is always so here.
    #[arg(long, hide = true)]
    no_descriptions: bool,
}

impl Completion {
    /// Runs the command.
    ///
    /// # Errors
    /// When standard output cannot be written, or there are more words.
    pub(crate) fn run(&self) -> Result<()> {
        let shell = self.arguments.first().map(|word| Shell::from_str(word, false));
        let Some(Ok(shell)) = shell else {
            // Whoever does not know which shells there are is told, and has made no mistake.
            say!("{}", cli::help_of("completion"));
            return Ok(());
        };
        if let Some(word) = self.arguments.get(1) {
            let parent = format!("virtctl completion {shell}");
            return Err(UsageError::Command { word: word.clone(), parent }.into());
        }
        say::document(&script(shell))
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
