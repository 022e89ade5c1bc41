//! The launcher: serves the node's agent and drives one machine.
//!
//! One task, the `supervisor`, owns the machine's state; everything else sends it messages: the agent's
//! commands, the shim's notices, the hypervisor's events, what the guest's agent and the DHCP responder learn.
//!
//! ```text
//!                  start                   resumed
//!   IDLE ──────────────────▶ STARTING ──────────────▶ RUNNING ◀──▶ PAUSED
//!    ▲                          │                        │            │
//!    └── start again ── FAILED ◀┘      shutdown asked    ▼            │
//!                                                 SHUTTING_DOWN ◀─────┘
//!                                                        │
//!                     the process ends                   ▼
//!                                              SHUT_OFF or CRASHED
//! ```
//!
//! `SHUT_OFF` and `CRASHED` are final: the launcher writes the final state into the run directory, lets its
//! watchers read it, and has the shim end the Pod.

use std::io;
use std::sync::Arc;

use launcher_channel::seqpacket::Socket;
use launcher_channel::{Identity, Secret, Server};
use tokio::sync::{mpsc, watch};
use wire::launcher::v1::{MachineState, machine_state::Phase};

use crate::files;
use crate::options::Options;
use crate::shim::protocol::Notice;

mod adopt;
mod agent;
mod console;
mod dhcp;
mod ending;
mod handle;
mod inherited;
mod interfaces;
mod links;
mod log;
mod output;
mod probing;
mod questions;
mod reattach;
mod reboot;
mod router;
mod serial;
mod shutdown;
mod start;
mod status;
mod supervisor;

/// Why a launcher cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It was not started by a shim.
    #[error("no shim speaks on descriptor 3; the launcher is started by `shim`, not by hand")]
    NoShim,
    /// Its sockets cannot be bound.
    #[error(transparent)]
    Bind(#[from] launcher_channel::BindError),
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::System { what, source: source.into() }
}

/// Runs as the launcher until the shim is gone. `release` is the software's version.
pub fn run(options: Options, release: &str) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    runtime.block_on(serve(options, release))
}

async fn serve(options: Options, release: &str) -> Result<(), Error> {
    let link = inherited::link().ok_or(Error::NoShim)?;
    let link = Socket::new(link).map_err(system("use the shim's socket"))?;
    let greeting = link.receive::<Notice>().await.map_err(system("read the shim's greeting"))?;
    let Some((Notice::Hello { incarnation, running, exit, kept, terminating }, fds)) = greeting else {
        return Err(Error::NoShim);
    };
    let kept: Vec<_> = kept.into_iter().zip(fds).collect();

    let secret =
        Secret::load(&options.run_dir.join(files::SESSION)).map_err(system("read the session's secret"))?;
    let server =
        Server::bind(&options.socket_dir, secret, Identity { release: release.to_owned(), incarnation })?;
    let states = watch::Sender::new(MachineState {
        phase: Phase::Idle.into(),
        message: "no machine was asked for yet".to_owned(),
        reason: "Idle".to_owned(),
        changed_at_ms: crate::clock::now_ms(),
        ..MachineState::default()
    });
    let (commands, received) = mpsc::channel(16);
    let handle = handle::Handle::new(commands, states.subscribe(), options.run_dir.clone());
    let supervisor = supervisor::Supervisor::new(options, link, states);
    let past = adopt::Past { running, exit, kept, terminating };
    tokio::select! {
        () = supervisor.run(received, past) => {}
        () = server.run(Arc::new(handle)) => {}
    }
    Ok(())
}
