//! What may come next on a command line: for kubectl, which asks a program named `kubectl_complete-virt` for that.
//!
//! The scripts of `virtctl completion` know commands and flags by themselves. This knows the names of machines, too.

use std::time::Duration;

use clap::{Arg, ArgAction, Command, FromArgMatches as _};

use crate::cli;
use crate::connection::Connection;
use crate::request::{Kind, Request};
use crate::say::say;
use crate::session::Session;

/// Whoever waits for a suggestion waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// More machines than this nobody chooses from.
const MOST: u32 = 500;

/// Tells the shell that these are all, and that files are none of them.
const NO_FILES: &str = ":4";

/// What the last word may be.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Words(Vec<String>),
    /// The names of objects.
    Names(Kind),
    /// `vm/NAME` and `vmi/NAME`.
    Targets,
    /// Something of which nothing is known.
    Anything,
}

/// Prints what the last of these words may become.
pub(crate) async fn run(words: &[String]) {
    let last = words.last().map(String::as_str).unwrap_or_default();
    let found = match next(&cli::complete(), words) {
        Next::Words(words) => words,
        Next::Names(kind) => names(words, kind).await,
        Next::Targets => {
            let (kind, prefix) =
                if last.starts_with("vmi") { (Kind::Instance, "vmi/") } else { (Kind::Machine, "vm/") };
            names(words, kind).await.iter().map(|name| format!("{prefix}{name}")).collect()
        }
        Next::Anything => Vec::new(),
    };
    for word in found.iter().filter(|word| word.starts_with(last)) {
        say!("{word}");
    }
    say!("{NO_FILES}");
}

/// Reads the names of objects, as far as that can be done quickly.
async fn names(words: &[String], kind: Kind) -> Vec<String> {
    // The flags so far say which server and which namespace; what else is wrong with them does not matter yet.
    let line = std::iter::once("virtctl").chain(words.iter().rev().skip(1).rev().map(String::as_str));
    let matches = cli::complete().ignore_errors(true).try_get_matches_from(line);
    let connection = matches.and_then(|matches| Connection::from_arg_matches(&matches)).unwrap_or_default();
    let session = Session::new(connection);
    let read = async {
        let api = session.api().await.ok()?;
        let request = Request::list(Some(&api.namespace), kind).ok()?.with_parameter("limit", MOST);
        api.read(&request).await.ok()
    };
    let list = tokio::time::timeout(PATIENCE, read).await.ok().flatten().unwrap_or_default();
    let items = list["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// Finds out what the last word is.
fn next(root: &Command, words: &[String]) -> Next {
    let mut command = root;
    let mut arguments = 0;
    let mut value_of: Option<&Arg> = None;
    let (last, before) = match words.split_last() {
        None => ("", [].as_slice()),
        Some((last, before)) => (last.as_str(), before),
    };
    for word in before {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            value_of = flag(root, command, word).filter(|flag| takes_next(flag) && !word.contains('='));
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else {
            arguments += 1;
        }
    }
    if let Some(flag) = value_of {
        return values(flag);
    }
    if last.starts_with('-') {
        let own = command.get_arguments().filter(|flag| !flag.is_hide_set());
        let all = own.chain(root.get_arguments().filter(|flag| flag.is_global_set()));
        let mut flags: Vec<_> = all.filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect();
        flags.sort();
        flags.dedup();
        return Next::Words(flags);
    }
    if arguments == 0 && command.has_subcommands() && command.get_name() != "vnc" {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        return Next::Words(below.map(|below| below.get_name().to_owned()).collect());
    }
    argument(command.get_name(), arguments)
}

/// Commands whose first argument is a machine.
const OF_MACHINES: [&str; 14] = [
    "add-ssh-key",
    "addvolume",
    "explain-status",
    "list",
    "migrate",
    "migrate-cancel",
    "objectgraph",
    "remove-ssh-key",
    "removevolume",
    "restart",
    "set-password",
    "start",
    "stop",
    "top",
];
/// Commands whose first argument is an instance.
const OF_INSTANCES: [&str; 9] =
    ["console", "fslist", "guestosinfo", "reset", "screenshot", "soft-reboot", "usbredir", "userlist", "vnc"];
/// Commands that take a type and a name.
const TYPED: [&str; 4] = ["evacuate-cancel", "expose", "pause", "unpause"];

/// Says what an argument of a command is.
fn argument(command: &str, index: usize) -> Next {
    let one_of = |commands: &[&str]| commands.contains(&command);
    match index {
        0 if one_of(&OF_MACHINES) => Next::Names(Kind::Machine),
        0 if one_of(&OF_INSTANCES) => Next::Names(Kind::Instance),
        0 if one_of(&TYPED) => Next::Words(["vm", "vmi"].map(str::to_owned).to_vec()),
        0 if one_of(&["port-forward", "scp", "ssh"]) => Next::Targets,
        0 if command == "guestfs" => Next::Names(Kind::Claim),
        0 if command == "completion" => Next::Words(["bash", "fish", "zsh"].map(str::to_owned).to_vec()),
        1 if one_of(&TYPED) => Next::Names(Kind::Machine),
        1 if command == "usbredir" => Next::Names(Kind::Instance),
        1 if command == "scp" => Next::Targets,
        _ if one_of(&["list", "top"]) => Next::Names(Kind::Machine),
        _ => Next::Anything,
    }
}

fn flag<'a>(root: &'a Command, command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    let is = |flag: &&Arg| match name.strip_prefix("--") {
        Some(long) => flag.get_long() == Some(long),
        None => flag.get_short().is_some_and(|short| name == format!("-{short}")),
    };
    command.get_arguments().chain(root.get_arguments()).find(is)
}

/// Whether a flag's value is the next word.
fn takes_next(flag: &Arg) -> bool {
    let switch = flag.get_num_args().is_some_and(|values| values.min_values() == 0);
    !switch && matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

fn values(flag: &Arg) -> Next {
    let values: Vec<_> = flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    match flag.get_long() {
        _ if !values.is_empty() => Next::Words(values),
        Some("output") => Next::Words(["json", "yaml"].map(str::to_owned).to_vec()),
        Some("vm") => Next::Names(Kind::Machine),
        _ => Next::Anything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &str) -> Next {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        super::next(&cli::complete(), &words)
    }

    fn words(line: &str) -> Vec<String> {
        let Next::Words(words) = next(line) else { panic!("{line} is completed by words") };
        words
    }

    #[test]
    fn commands_and_flags_are_known() {
        assert!(words("").iter().any(|word| word == "port-forward"));
        assert!(words("").iter().all(|word| word != "options" && word != "help"));
        assert_eq!(words("credentials "), ["add-ssh-key", "remove-ssh-key", "set-password"]);
        let flags = words("stop a --");
        for flag in ["--grace-period", "--namespace", "--dry-run"] {
            assert!(flags.iter().any(|known| known == flag), "{flag} in {flags:?}");
        }
        assert_eq!(words("list -o "), ["json", "yaml"]);
        assert_eq!(words("top --sort "), ["cpu", "memory", "name"]);
    }

    #[test]
    fn arguments_are_names_or_targets() {
        assert_eq!(next("start "), Next::Names(Kind::Machine));
        assert_eq!(next("-n team start we"), Next::Names(Kind::Machine));
        assert_eq!(next("start a "), Next::Anything);
        assert_eq!(next("stop --force --grace-period 0 "), Next::Names(Kind::Machine));
        assert_eq!(next("console --timeout=1 "), Next::Names(Kind::Instance));
        assert_eq!(next("vnc "), Next::Names(Kind::Instance));
        assert_eq!(next("vnc screenshot "), Next::Names(Kind::Instance));
        assert_eq!(words("pause "), ["vm", "vmi"]);
        assert_eq!(next("pause vm "), Next::Names(Kind::Machine));
        assert_eq!(next("ssh vm"), Next::Targets);
        assert_eq!(next("credentials set-password "), Next::Names(Kind::Machine));
        assert_eq!(next("expand --vm "), Next::Names(Kind::Machine));
        assert_eq!(next("create vm "), Next::Anything);
    }
}
