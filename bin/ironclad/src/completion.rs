//! `ironclad completion`: scripts that complete commands and options in a shell.

use clap::{Command, CommandFactory as _};

use crate::cli::{Cli, CompletionArgs};
use crate::say;

/// Prints the script of one shell.
pub(crate) fn run(arguments: CompletionArgs) {
    say::text(&script(arguments.shell));
}

fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), "ironclad", &mut script);
    script
}

/// Leaves out what is hidden: the generator offers that too.
fn visible(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(command.get_name().to_owned())
        .about(about)
        .args(arguments.cloned())
        .subcommands(below.map(visible))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    #[test]
    fn each_script_knows_the_commands_and_not_the_hidden_ones() {
        for shell in clap_complete::Shell::value_variants() {
            let script = String::from_utf8(super::script(*shell)).unwrap();
            assert!(script.contains("doctor") && script.contains("keep-guests"), "{shell}");
            assert!(!script.contains("netns-exec") && !script.contains("ready-fd"), "{shell}");
        }
    }
}
