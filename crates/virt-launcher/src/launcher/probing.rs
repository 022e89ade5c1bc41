//! Probes: whether the guest's agent answers, and what a program of the guest says.

use std::time::Duration;

use hypervisor::{Machine, RunState};
use launcher_channel::Refusal;
use wire::launcher::v1::{ProbeGuestAnswer, ProbeGuestRequest};

use super::questions::{agent, refused};
use super::supervisor::failed;

/// Time of a probe that names none.
const USUAL: Duration = Duration::from_secs(1);

/// Asks the agent of a guest.
pub(super) async fn probe(
    machine: &dyn Machine,
    wanted: ProbeGuestRequest,
) -> Result<ProbeGuestAnswer, Refusal> {
    let limit = match wanted.timeout_seconds {
        0 => USUAL,
        seconds => Duration::from_secs(seconds.into()),
    };
    let agent = agent(machine)?;
    if wanted.command.is_empty() {
        let asked = async {
            if !will_go_on(&machine.state().await.map_err(failed)?) {
                agent.ping().await.map_err(refused)?;
            }
            Ok(ProbeGuestAnswer::default())
        };
        let late =
            || Refusal::Failed(format!("the guest agent does not answer within {} s", limit.as_secs()));
        return tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(late()));
    }
    let ended = agent.run(&wanted.command, limit).await.map_err(|error| {
        let program = wanted.command.first().map_or("", String::as_str);
        Refusal::Failed(format!("{program} did not end within {} s: {error}", limit.as_secs()))
    })?;
    Ok(ProbeGuestAnswer { exit_code: ended.code, output: ended.output })
}

/// Says whether a machine stands still and will go on. It has not failed; one that its hypervisor has stopped for good has.
fn will_go_on(state: &RunState) -> bool {
    matches!(state, RunState::Created | RunState::Paused | RunState::IoError)
}

#[cfg(test)]
mod tests {
    use hypervisor::contract::guest;
    use hypervisor::simulated::{self, Simulation};
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_will_go_on_need_not_answer() {
        let mut record = guest::record("kernel").unwrap();
        record.agent = serde_json::from_value(json!({"address": {"type": "unit", "unit": 0}})).unwrap();
        let machine = Simulation::new(record, simulated::Guest::default());
        let ping = async || probe(&machine, ProbeGuestRequest::default()).await.is_ok();
        assert!(ping().await, "it waits to be resumed");
        machine.resume().await.unwrap();
        assert!(ping().await, "it answers");
        machine.pause().await.unwrap();
        assert!(ping().await, "it stands still on purpose");
        for failed in [RunState::Panicked, RunState::Ended, RunState::Other("internal-error".into())] {
            assert!(!will_go_on(&failed), "{failed:?}");
        }
        assert!(will_go_on(&RunState::IoError));
    }
}
