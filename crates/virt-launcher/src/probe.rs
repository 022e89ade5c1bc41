//! A probe that a cluster's kubelet executes in the launcher Pod: asks the launcher, which asks the guest's agent.

use launcher_channel::Client;
use wire::launcher::v1::ProbeGuestRequest;
use wire::probe::GuestProbe;

use crate::files;

/// Why a probe could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime could not be started.
    #[error("start the runtime: {0}")]
    Runtime(std::io::Error),
    /// Nobody has spoken to the launcher yet.
    #[error("the node's agent has not opened the launcher's session yet: {0}")]
    Session(std::io::Error),
    /// The launcher or the guest's agent does not answer as it should.
    #[error(transparent)]
    Launcher(#[from] launcher_channel::Error),
}

/// Carries out `probe`; returns the exit code of the guest's program, and what it wrote.
pub fn run(probe: GuestProbe) -> Result<(i32, String), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        // Only read: the first secret that a launcher hears is the one that it keeps, and that is the agent's to choose.
        let secret = std::fs::read(probe.run_dir.join(files::SESSION)).map_err(Error::Session)?;
        let client = Client::connect(&probe.socket_dir, &secret).await?;
        let GuestProbe { command, timeout_seconds, .. } = probe;
        let answer = client.probe_guest(ProbeGuestRequest { command, timeout_seconds }).await?;
        Ok((answer.exit_code, answer.output))
    })
}
