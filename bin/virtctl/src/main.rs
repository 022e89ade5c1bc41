//! `virtctl`: starts, stops and enters virtual machines by the subresources of KubeVirt's API.
//!
//! A command is a file in `command`. It makes a [`request::Request`] of its arguments, which is pure, has
//! [`api::Api`] send it, and words the outcome as KubeVirt's own virtctl does. Consoles, screens and forwarded ports are
//! a [`tunnel::Tunnel`] each. A failure of any kind ends with 1.

mod age;
mod api;
mod cli;
mod command;
mod complete;
mod connection;
mod doctor;
mod explain;
mod flags;
mod fleet;
mod foreign;
mod forward;
mod local_client;
mod log;
mod progress;
mod refusal;
mod request;
mod say;
mod session;
mod stdio;
mod table;
mod target;
mod terminal;
mod transport;
mod tunnel;
mod usage;
mod yaml;

use std::process::ExitCode;

use anyhow::Result;
use clap::FromArgMatches as _;

use crate::cli::{Cli, Command};
use crate::session::Session;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    if cli::completes(&name) {
        return complete(&words.collect::<Vec<_>>());
    }
    let program = cli::program(&name);
    let line = cli::command(&program);
    let parsed = line.clone().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(mut cli) => {
            cli.settle();
            cli
        }
        Err(error) if !error.use_stderr() => {
            say::line(format_args!("{}", error.to_string().trim_end()));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{}", usage::explain(&error, &program));
            return ExitCode::FAILURE;
        }
    };
    let Some(command) = cli.command else {
        say::line(format_args!("{}", line.clone().render_help().to_string().trim_end()));
        return ExitCode::SUCCESS;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    log::set_verbosity(cli.connection.verbosity);
    let session = Session::new(cli.connection);
    let outcome = runtime.block_on(async {
        let outcome = run(&command, &session).await;
        if let Err(error) = &outcome {
            if let Some(api) = session.refused_by()
                && let Some(warning) = command::version::mismatch(api).await
            {
                eprintln!("{warning}");
            }
            eprintln!("{error}");
        }
        outcome
    });
    // A thread may still wait for a key; nobody needs it.
    runtime.shutdown_background();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells a shell what may come next. That nothing can be told is no failure.
fn complete(words: &[String]) -> ExitCode {
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        runtime.block_on(complete::run(words));
    }
    ExitCode::SUCCESS
}

async fn run(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::Addvolume(command) => command.run(session).await,
        Command::Adm(command) => command.run(session).await,
        Command::Completion(command) => command.run(),
        Command::Console(command) => command.run(session).await,
        Command::Create(command) => command.run(session),
        Command::Credentials(command) => command.run(session).await,
        Command::Doctor(command) => command.run(session).await,
        Command::EvacuateCancel(command) => command.run(session).await,
        Command::Expand(command) => command.run(session).await,
        Command::ExplainStatus(command) => command.run(session).await,
        Command::Expose(command) => command.run(session).await,
        Command::Fslist(command) => command.run(session).await,
        Command::Guestfs(command) => command.run(session).await,
        Command::Guestosinfo(command) => command.run(session).await,
        Command::ImageUpload(command) => command.run(session).await,
        Command::List(command) => command.run(session).await,
        Command::MemoryDump(command) => command.run(session).await,
        Command::Migrate(command) => command.run(session).await,
        Command::MigrateCancel(command) => command.run(session).await,
        Command::Objectgraph(command) => command.run(session).await,
        Command::Options => {
            command::options::run();
            Ok(())
        }
        Command::Pause(command) => command.run(session).await,
        Command::PermittedDevices(command) => command.run(session).await,
        Command::PortForward(command) => command.run(session).await,
        Command::Removevolume(command) => command.run(session).await,
        Command::Reset(command) => command.run(session).await,
        Command::Restart(command) => command.run(session).await,
        Command::Scp(command) => command.run(session).await,
        Command::SoftReboot(command) => command.run(session).await,
        Command::Ssh(command) => command.run(session).await,
        Command::Start(command) => command.run(session).await,
        Command::Stop(command) => command.run(session).await,
        Command::Template(command) => command.run(session).await,
        Command::Top(command) => command.run(session).await,
        Command::Unpause(command) => command.run(session).await,
        Command::Usbredir(command) => command.run(session).await,
        Command::Userlist(command) => command.run(session).await,
        Command::Version(command) => command.run(session).await,
        Command::Vmexport(command) => command.run(session).await,
        Command::Vnc(command) => command.run(session).await,
    }
}
