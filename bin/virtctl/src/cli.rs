//! The command line.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::command::addvolume::AddVolume;
use crate::command::adm::Adm;
use crate::command::completion::Completion;
use crate::command::console::Console;
use crate::command::create::Create;
use crate::command::credentials::Credentials;
use crate::command::doctor::Doctor;
use crate::command::evacuate_cancel::EvacuateCancel;
use crate::command::expand::Expand;
use crate::command::explain_status::ExplainStatus;
use crate::command::expose::Expose;
use crate::command::fslist::FilesystemList;
use crate::command::guestfs::Guestfs;
use crate::command::guestosinfo::GuestOsInfo;
use crate::command::image_upload::ImageUpload;
use crate::command::list::List;
use crate::command::memory_dump::MemoryDump;
use crate::command::migrate::Migrate;
use crate::command::migrate_cancel::MigrateCancel;
use crate::command::objectgraph::ObjectGraph;
use crate::command::pause::Pause;
use crate::command::permitted_devices::PermittedDevices;
use crate::command::port_forward::PortForward;
use crate::command::removevolume::RemoveVolume;
use crate::command::reset::Reset;
use crate::command::restart::Restart;
use crate::command::scp::Scp;
use crate::command::soft_reboot::SoftReboot;
use crate::command::ssh::Ssh;
use crate::command::start::Start;
use crate::command::stop::Stop;
use crate::command::template::Template;
use crate::command::top::Top;
use crate::command::unpause::Unpause;
use crate::command::usbredir::UsbRedirection;
use crate::command::userlist::UserList;
use crate::command::version::Version;
use crate::command::vmexport::VmExport;
use crate::command::vnc::Vnc;
use crate::connection::Connection;

/// Controls virtual machines on a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "virtctl", args_override_self = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Addvolume(AddVolume),
    Adm(Adm),
    Completion(Completion),
    Console(Console),
    Create(Create),
    Credentials(Credentials),
    Doctor(Doctor),
    EvacuateCancel(EvacuateCancel),
    Expand(Expand),
    ExplainStatus(ExplainStatus),
    Expose(Expose),
    Fslist(FilesystemList),
    Guestfs(Guestfs),
    Guestosinfo(GuestOsInfo),
    ImageUpload(Box<ImageUpload>),
    List(List),
    MemoryDump(MemoryDump),
    Migrate(Migrate),
    MigrateCancel(MigrateCancel),
    Objectgraph(ObjectGraph),
    /// Print the flags that every command has.
    #[command(hide = true)]
    Options,
    Pause(Pause),
    PermittedDevices(PermittedDevices),
    PortForward(PortForward),
    Removevolume(RemoveVolume),
    Reset(Reset),
    Restart(Restart),
    Scp(Scp),
    SoftReboot(SoftReboot),
    Ssh(Ssh),
    Start(Start),
    Stop(Stop),
    Template(Template),
    Top(Top),
    Unpause(Unpause),
    Usbredir(UsbRedirection),
    Userlist(UserList),
    Version(Version),
    Vmexport(Box<VmExport>),
    Vnc(Vnc),
}

impl Command {
    /// Whether its flag `--user` is somebody in a guest, not the kubeconfig's user.
    fn has_own_user(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Credentials(_))
    }
}

impl Cli {
    /// Leaves each flag to whom it belongs.
    pub(crate) fn settle(&mut self) {
        if self.command.as_ref().is_some_and(Command::has_own_user) {
            self.connection.user = None;
        }
    }
}

/// Returns whether kubectl asks this program to complete the words of its plug-in.
pub(crate) fn completes(argument: &str) -> bool {
    argument.rsplit('/').next().is_some_and(|name| name.starts_with("kubectl_complete-"))
}

/// Returns how users call this program: it is kubectl's plug-in when its name ends so.
pub(crate) fn program(argument: &str) -> String {
    let name = argument.rsplit('/').next().unwrap_or_default();
    match name.strip_suffix("-virt") {
        Some(parent) => format!("{parent} virt"),
        None => "virtctl".to_owned(),
    }
}

/// Returns the command line with help that calls the program `program`.
pub(crate) fn command(program: &str) -> clap::Command {
    adapt(Cli::command().bin_name(program), program, true)
}

/// Returns the command line with nothing left out, for completion.
pub(crate) fn complete() -> clap::Command {
    Cli::command()
}

/// Returns the help of a command, which is named as users name it, with those above it.
pub(crate) fn help_of(path: &str) -> String {
    let program = program(&std::env::args().next().unwrap_or_default());
    let mut root = command(&program);
    root.build();
    let found = path.split(' ').try_fold(&mut root, |above, name| above.find_subcommand_mut(name));
    found.map(|command| command.render_help().to_string().trim_end().to_owned()).unwrap_or_default()
}

/// Returns the help of the flags that every command has, which the commands' own help leaves out.
pub(crate) fn global_flags() -> String {
    let only_flags = Cli::command().disable_help_flag(true).disable_help_subcommand(true);
    only_flags.help_template("{options}").render_help().to_string()
}

/// Gives a command and those below it the shape of kubectl's help, and their examples the program's name.
fn adapt(command: clap::Command, program: &str, root: bool) -> clap::Command {
    let hint = format!(
        "Use \"{program} options\" for a list of global command-line options (applies to all commands)."
    );
    let below = command.get_subcommands().any(|below| !below.is_hide_set()) && command.get_name() != "vnc";
    let template = if !root && below {
        format!(
            "{{about-with-newline}}\nUsage:\n  {{usage}}{{after-help}}\n\nAvailable Commands:\n{{subcommands}}\n\n{hint}\n"
        )
    } else if root {
        format!(
            "{{about-with-newline}}\nAvailable Commands:\n{{subcommands}}\n\n\
             Use \"{program} <command> --help\" for more information about a given command.\n{hint}\n"
        )
    } else {
        format!(
            "{{about-with-newline}}\nUsage:\n  {{usage}}{{after-help}}\n\nFlags:\n{{options}}\n\n{hint}\n"
        )
    };
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().replace("virtctl", program);
    let examples = command.get_after_help().map(|examples| examples.to_string().replace("virtctl", program));
    let mut command = command.help_template(template).mut_args(|argument| {
        let hidden = argument.is_hide_set() || argument.is_global_set();
        let switch = argument.get_num_args().is_some_and(|values| values.min_values() == 0);
        // That a text is empty unless it is given goes without saying.
        let silent = switch || argument.get_default_values().iter().any(|value| value.is_empty());
        argument.hide(hidden).hide_possible_values(switch).hide_default_value(silent)
    });
    if !root {
        command = command.override_usage(usage);
    }
    if let Some(examples) = examples {
        command = command.after_help(examples);
    }
    command.mut_subcommands(|below| adapt(below, program, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(program: &str, words: &[&str]) -> String {
        let line = [&[program], words, &["--help"]].concat();
        command(program).try_get_matches_from(line).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_sound() {
        command("virtctl").debug_assert();
    }

    #[test]
    fn help_shows_the_commands_flags_and_examples_and_where_the_others_are() {
        let root = help("virtctl", &[]);
        assert!(root.contains("soft-reboot") && !root.contains("--kubeconfig"), "{root}");
        let start = help("virtctl", &["start"]);
        for part in ["Usage:\n  virtctl start (VM) [flags]", "\n  virtctl start myvm", "--paused"] {
            assert!(start.contains(part), "{part} in {start}");
        }
        assert!(!start.contains("--kubeconfig"), "{start}");
        let upload = help("virtctl", &["image-upload"]);
        assert!(upload.contains("[default: 300]") && !upload.contains("[default: \"\"]"), "{upload}");
        assert!(global_flags().contains("--kubeconfig"));
    }

    #[test]
    fn as_kubectls_plug_in_it_calls_itself_so() {
        assert_eq!(program("/usr/local/bin/kubectl-virt"), "kubectl virt");
        assert_eq!(program("oc-virt"), "oc virt");
        assert_eq!(program("./virtctl"), "virtctl");
        let start = help("kubectl virt", &["start"]);
        assert!(start.contains("  kubectl virt start (VM) [flags]"), "{start}");
        assert!(start.contains("  kubectl virt start myvm") && !start.contains("virtctl"), "{start}");
    }

    #[test]
    fn flags_are_written_as_kubectl_allows() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace()).unwrap();
        let line = parse("virtctl -n a stop vm1 --force=true --grace-period -1 -v 3 --namespace=b");
        assert_eq!(line.connection.namespace.as_deref(), Some("b"));
        assert_eq!(line.connection.verbosity, 3);
        parse("virtctl --v=9 ssh -l jdoe -t -oX=y -t --verbose vm/a --command -c");
        parse("virtctl port-forward --stdio=false vm/a udp/1:2 3");
        parse("virtctl vnc a --proxy-only --address=0.0.0.0 --port=5900");
        parse("virtctl vnc screenshot a -f - -m");
    }
}
