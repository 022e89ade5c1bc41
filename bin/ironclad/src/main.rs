//! Ironclad: virtual machines as Kubernetes objects, in one binary.

mod accelerator;
mod backup;
mod cli;
mod completion;
mod component;
mod crds;
mod demo;
mod doctor;
mod down;
mod image;
mod instance;
mod launcher;
mod layout;
mod node_life;
mod registries;
mod say;
mod status;
mod table;
mod up;
mod virt_api;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Started again from the image that runs, it would be called "exe".
    let _ = rustix::thread::set_name(c"ironclad");
    // What must stay private says so itself; the user's mask would keep Pods' own users from what they need, or let
    // everybody write to it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let quiet = matches!(&cli.command, Command::Status(arguments) if arguments.quiet);
    let outcome = match cli.command {
        // These enter namespaces, which a process may only do while it has one thread.
        Command::PodInit => return host::jail::main(),
        Command::NetnsExec => return network::netns_exec::main(),
        command => run(command, &cli.global).and_then(|()| say::outcome()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if quiet => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be a log on a disk that is full; that changes nothing about the outcome.
            drop(writeln!(std::io::stderr(), "ironclad: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, global: &cli::Global) -> anyhow::Result<()> {
    match command {
        Command::PodInit | Command::NetnsExec => {
            unreachable!("answered above, before anything else was done")
        }
        Command::KvmProbe => Ok(host::kvm::probe_child()?),
        Command::Up(arguments) => up::run(&arguments, global),
        Command::Down(arguments) => down::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => backup::restore(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Crds(arguments) => crds::run(arguments),
        Command::Completion(arguments) => {
            completion::run(arguments);
            Ok(())
        }
        Command::Image(command) => image::run(command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::VirtApi(arguments) => component::virt_api(&arguments, global),
        Command::VirtController(arguments) => component::virt_controller(&arguments, global),
        Command::VirtHandler(arguments) => component::virt_handler(&arguments, global),
        Command::Kubelet(arguments) => component::kubelet(&arguments, global),
        Command::KubeDns(arguments) => component::kube_dns(&arguments, global),
        Command::KubeNetwork(arguments) => component::kube_network(&arguments, global),
        Command::KubeControllers(arguments) => component::kube_controllers(&arguments, global),
    }
}
