//! What a running machine is told to do: judged here, done by the agent of its node.

use std::time::Duration;

use api::names::condition;
use http::{Response, StatusCode};
use wire::agent::Command;

use super::objects::{Instance, Machine, MachineStatus};
use super::options::{self, Trial};
use super::refusal::{Refusal, empty};
use super::route::{Action, Scope};
use super::{Body, Call, node};

const NOT_RUNNING: &str = "VM is not running";
const INSTANCE_NOT_RUNNING: &str = "VMI is not running";

/// How long file systems are held when the client does not say.
const FREEZE: Duration = Duration::from_secs(300);

/// How long an answer waits until the instance's status shows what was done, and the first and longest time between
/// two looks at it.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(320);

/// Judges, and has the node's agent do it.
pub(super) async fn command(call: &Call<'_>, action: Action, body: Body) -> Result<Response<Body>, Refusal> {
    let (command, dry) = match action {
        Action::Pause => (Command::Pause, options::read::<Trial>(body).await?.is_dry()),
        Action::Unpause => (Command::Unpause, options::read::<Trial>(body).await?.is_dry()),
        Action::Freeze => {
            let options: options::Freeze = options::read(body).await?;
            let after = match options.unfreeze_timeout.as_deref() {
                None | Some("") => FREEZE,
                Some(text) => duration(text).ok_or_else(|| {
                    Refusal::bad(format!("unfreezeTimeout {text:?} is no duration such as 5m0s"))
                })?,
            };
            (Command::Freeze { unfreeze_after_seconds: after.as_secs() }, false)
        }
        Action::Unfreeze => (Command::Unfreeze, false),
        Action::SoftReboot => (Command::SoftReboot, false),
        _ => (Command::Reset, false),
    };
    if action == Action::Unpause {
        let machine = match Machine::fetch(call.client, call.namespace, call.name).await {
            Ok(machine) => machine.status.unwrap_or_default(),
            Err(Refusal::Status(status)) if status.code == 404 => MachineStatus::default(),
            Err(refusal) => return Err(refusal),
        };
        if machine.snapshot_in_progress.is_some() {
            return Err(Refusal::conflict(Scope::Machine, call.name, "VM snapshot is in progress"));
        }
    }
    let instance = call.instance().await?;
    judge(action, &instance)?;
    let reached = node::reach(call.nodes, &instance).await;
    let reached = reached.map_err(|refusal| explain(action, &instance, refusal))?;
    if dry {
        return Ok(empty(StatusCode::OK));
    }
    let done = reached.agent.command(&reached.target, command).await;
    done.map_err(|error| explain(action, &instance, Refusal::internal(error)))?;
    match action {
        Action::Pause => shown(call, &instance, true).await,
        Action::Unpause => shown(call, &instance, false).await,
        _ => {}
    }
    Ok(empty(StatusCode::OK))
}

/// Waits a little until the status tells whether the instance stands still: the next request is judged by it, and a
/// script sends that at once. What was done is done, so this has no way to fail.
async fn shown(call: &Call<'_>, instance: &Instance, paused: bool) {
    let look = async {
        let mut pause = FIRST_LOOK;
        while call
            .instance()
            .await
            .is_ok_and(|now| now.metadata.uid == instance.metadata.uid && now.is_paused() != paused)
        {
            tokio::time::sleep(pause).await;
            pause = LONGEST_LOOK.min(pause * 2);
        }
    };
    // Later than that, the status is late for a reason of its own.
    drop(tokio::time::timeout(SHOWN_WITHIN, look).await);
}

/// Whether the instance's state allows it.
fn judge(action: Action, instance: &Instance) -> Result<(), Refusal> {
    let running = instance.is_running();
    match action {
        Action::Pause => {
            if !running {
                return Err(instance.conflict(NOT_RUNNING));
            }
            // A probe would find the guest dead and the launcher would be killed.
            let probe = instance.spec.liveness_probe.as_ref();
            if probe.is_some_and(|probe| probe.get("guestAgentPing").is_none()) {
                return Err(Refusal::forbidden(
                    Scope::Instance,
                    &instance.metadata.name,
                    "Pausing VMIs with a non-GuestAgentPing LivenessProbe is not supported",
                ));
            }
            if instance.is_paused() {
                return Err(instance.conflict("VMI is already paused"));
            }
            if instance.status.migration_state.as_ref().is_some_and(|state| !state.completed) {
                let name = &instance.metadata.name;
                return Err(instance
                    .conflict(format!("Cannot pause VM '{name}' because it is currently being migrated")));
            }
        }
        Action::Unpause | Action::Unfreeze if !running => {
            return Err(instance.conflict(INSTANCE_NOT_RUNNING));
        }
        Action::Unpause if !instance.is_paused() => return Err(instance.conflict("VMI is not paused")),
        Action::Freeze | Action::SoftReboot if !running => return Err(instance.conflict(NOT_RUNNING)),
        Action::SoftReboot if instance.is_paused() => return Err(instance.conflict("VMI is paused")),
        Action::SoftReboot => {
            let acpi = instance.spec.domain.features.as_ref().and_then(|features| features.acpi.enabled);
            if acpi == Some(false) && !instance.is(condition::AGENT_CONNECTED) {
                return Err(
                    instance.conflict("VMI neither have the agent connected nor the ACPI feature enabled")
                );
            }
        }
        _ => {}
    }
    Ok(())
}

/// A reset is not judged first; when it fails, the phase says most about why.
fn explain(action: Action, instance: &Instance, refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Status(mut status) if action == Action::Reset && !instance.is_running() => {
            status.message = format!(
                "Failed to reset non-running VMI with phase {}: {}",
                instance.status.phase, status.message
            );
            Refusal::Status(status)
        }
        other => other,
    }
}

/// Reads a span of time as Go writes it; none is negative here.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    Duration::try_from(machinery::duration::parse(text)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_gos() {
        let table = [
            ("5m0s", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1.5s", Some(1500)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("250ms", Some(250)),
            ("", None),
            ("5", None),
            ("-5s", None),
            ("5 m", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn the_state_of_the_instance_decides() {
        let of = |phase: &str, condition: &str, spec: serde_json::Value| -> Instance {
            let status = json!({"phase": phase, "conditions": [{"type": condition, "status": "True"}]});
            serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": spec, "status": status}))
                .expect("an instance")
        };
        let table = [
            (Action::Pause, of("Running", "", json!({})), 0),
            (Action::Pause, of("Scheduled", "", json!({})), 409),
            (Action::Pause, of("Running", "Paused", json!({})), 409),
            (Action::Pause, of("Running", "", json!({"livenessProbe": {"httpGet": {}}})), 403),
            (Action::Pause, of("Running", "", json!({"livenessProbe": {"guestAgentPing": {}}})), 0),
            (Action::Unpause, of("Running", "", json!({})), 409),
            (Action::Unpause, of("Running", "Paused", json!({})), 0),
            (Action::SoftReboot, of("Running", "Paused", json!({})), 409),
            (Action::SoftReboot, of("Running", "", json!({})), 0),
            (
                Action::SoftReboot,
                of("Running", "", json!({"domain": {"features": {"acpi": {"enabled": false}}}})),
                409,
            ),
            (Action::Reset, of("Failed", "", json!({})), 0),
        ];
        for (action, instance, code) in table {
            let refused = match judge(action, &instance) {
                Ok(()) => 0,
                Err(Refusal::Status(status)) => status.code,
                Err(Refusal::Text(code, _)) => code.as_u16(),
            };
            assert_eq!(refused, code, "{action:?} {instance:?}");
        }
    }
}
