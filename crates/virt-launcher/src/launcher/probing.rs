//! Probes: whether the guest's agent answers, and what a program of the guest says.

use std::time::Duration;

use hypervisor::Machine;
use launcher_channel::Refusal;
use wire::launcher::v1::machine_state::Phase;
use wire::launcher::v1::{ProbeGuestAnswer, ProbeGuestRequest};

use super::questions::{agent, refused};

/// Time of a probe that names none.
const USUAL: Duration = Duration::from_secs(1);

/// Asks the agent of a guest whose machine is in `phase`.
pub(super) async fn probe(
    machine: &dyn Machine,
    phase: Phase,
    wanted: ProbeGuestRequest,
) -> Result<ProbeGuestAnswer, Refusal> {
    let limit = match wanted.timeout_seconds {
        0 => USUAL,
        seconds => Duration::from_secs(seconds.into()),
    };
    let agent = agent(machine)?;
    if wanted.command.is_empty() {
        // Whoever stands still on purpose has not failed.
        if phase == Phase::Paused {
            return Ok(ProbeGuestAnswer::default());
        }
        let late =
            |_| Refusal::Failed(format!("the guest agent does not answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, agent.ping()).await.map_err(late)?.map_err(refused)?;
        return Ok(ProbeGuestAnswer::default());
    }
    let ended = agent.run(&wanted.command, limit).await.map_err(|error| {
        let program = wanted.command.first().map_or("", String::as_str);
        Refusal::Failed(format!("{program} did not end within {} s: {error}", limit.as_secs()))
    })?;
    Ok(ProbeGuestAnswer { exit_code: ended.code, output: ended.output })
}
