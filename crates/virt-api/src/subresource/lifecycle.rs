//! Start, stop and restart of machines: a change of the run strategy, or a request in the status that
//! virt-controller acts on, as the strategy has it.

use api::names::{condition, label};
use http::{Response, StatusCode};
use kube_ext::{Api, Delete, Key, Kind as _, PartialObject, Patch, Select, resources};
use serde_json::{Value, json};

use super::objects::{Instance, Machine};
use super::options;
use super::refusal::{Refusal, empty};
use super::route::Scope;
use super::{Body, Call};

/// Condition of a machine whose volumes are being moved.
const VOLUMES_CHANGE: &str = "VolumesChange";
const RECOVER_FIRST: &str =
    "the move of the machine's volumes did not end well: point its volumes to those that hold its data first";
const NOT_RUNNING: &str = "VM is not running";
const CHANGING: &str = "the machine keeps changing; try again";

/// Seconds that a launcher gets when a machine is restarted by force.
const FORCED: i64 = 1;

/// How often a change is decided anew because the machine changed meanwhile.
const ATTEMPTS: usize = 5;

/// A change that was decided on, and the subresource that it goes to.
type Decision = (&'static str, Vec<Value>);

pub(super) async fn start(call: &Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
    let options = options::read::<options::Start>(body).await;
    for _ in 0..ATTEMPTS {
        let machine = call.machine().await?;
        let instance = Instance::find(call.client, call.namespace, call.name).await?;
        let decision = decide_start(call, &machine, instance.as_ref(), &options)?;
        let dry_run = options.as_ref().map_or(&[][..], |options| &options.dry_run);
        if change(call, decision, dry_run).await? {
            return Ok(empty(StatusCode::ACCEPTED));
        }
    }
    Err(conflict(call, CHANGING))
}

fn decide_start(
    call: &Call<'_>,
    machine: &Machine,
    instance: Option<&Instance>,
    options: &Result<options::Start, Refusal>,
) -> Result<Decision, Refusal> {
    if instance.is_some_and(|instance| !instance.is_final() && !instance.status.phase.is_empty()) {
        return Err(conflict(call, "VM is already running"));
    }
    if machine.is(condition::MANUAL_RECOVERY_REQUIRED) {
        return Err(conflict(call, RECOVER_FIRST));
    }
    let options = options.as_ref().map_err(Clone::clone)?;
    let mut begin = json!({"action": "Start"});
    if options.paused {
        begin["data"] = json!({"paused": "true"});
    }
    Ok(match (machine.strategy(), instance) {
        ("Halted", _) if options.paused => ("status", request(machine, &[begin])?),
        ("Halted", _) => ("", switch(machine, true)),
        ("RerunOnFailure", Some(instance)) if instance.status.phase == "Failed" => {
            return Err(conflict(call, "RerunOnFailure does not support starting VM from failed state"));
        }
        ("Manual" | "RerunOnFailure", Some(instance)) if instance.is_final() => {
            ("status", request(machine, &[end(instance), begin])?)
        }
        ("Manual" | "RerunOnFailure", _) => ("status", request(machine, &[begin])?),
        (strategy, _) => {
            return Err(conflict(call, format!("{strategy} does not support manual start requests")));
        }
    })
}

pub(super) async fn stop(call: &Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
    let options: options::Stop = options::read(body).await?;
    if options.grace_period.is_some_and(|seconds| seconds < 0) {
        return Err(Refusal::bad("gracePeriod has to be greater or equal to 0"));
    }
    for _ in 0..ATTEMPTS {
        let machine = call.machine().await?;
        let instance = Instance::find(call.client, call.namespace, call.name).await?;
        let live = instance.filter(|instance| !instance.is_final());
        let decision = decide_stop(call, &machine, live.as_ref(), options.grace_period)?;
        if let (Some(instance), Some(seconds)) = (&live, options.grace_period) {
            grant(call, instance, seconds, &options.dry_run).await?;
        }
        // A restart that is under way would switch the machine on again.
        let withdrawn = match withdrawal(&machine).filter(|_| decision.0.is_empty()) {
            Some(patch) => change(call, ("status", patch), &options.dry_run).await?,
            None => true,
        };
        if withdrawn && change(call, decision, &options.dry_run).await? {
            return Ok(empty(StatusCode::ACCEPTED));
        }
    }
    Err(conflict(call, CHANGING))
}

fn decide_stop(
    call: &Call<'_>,
    machine: &Machine,
    live: Option<&Instance>,
    grace_period: Option<i64>,
) -> Result<Decision, Refusal> {
    Ok(match (machine.strategy(), live) {
        ("Halted" | "Manual" | "RerunOnFailure", None) => return Err(conflict(call, NOT_RUNNING)),
        ("Halted", Some(instance)) if !is_shorter(instance, grace_period) => {
            return Err(conflict(
                call,
                "Halted only supports manual stop requests with a shorter graceperiod",
            ));
        }
        ("Halted" | "Manual" | "RerunOnFailure", Some(instance)) => {
            ("status", request(machine, &[end(instance)])?)
        }
        _ => ("", switch(machine, false)),
    })
}

pub(super) async fn restart(call: &Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
    let options: options::Restart = options::read(body).await?;
    match options.grace_period_seconds {
        Some(1..) => {
            return Err(Refusal::bad("For force restart, only gracePeriod=0 is supported for now"));
        }
        Some(..=-1) => return Err(Refusal::bad("gracePeriod has to be greater or equal to 0")),
        _ => {}
    }
    for _ in 0..ATTEMPTS {
        let machine = call.machine().await?;
        if machine.is(VOLUMES_CHANGE) {
            return Err(conflict(call, RECOVER_FIRST));
        }
        let strategy = machine.strategy();
        if matches!(strategy, "Halted" | "Once") {
            let why = format!("RunStategy {strategy} does not support manual restart requests");
            return Err(conflict(call, why));
        }
        let Some(instance) = Instance::find(call.client, call.namespace, call.name).await? else {
            return Err(conflict(call, NOT_RUNNING));
        };
        let patch = request(&machine, &[end(&instance), json!({"action": "Start"})])?;
        if change(call, ("status", patch), &options.dry_run).await? {
            if options.grace_period_seconds == Some(0) && options.dry_run.is_empty() {
                end_launcher(call, &instance).await?;
            }
            return Ok(empty(StatusCode::ACCEPTED));
        }
    }
    Err(conflict(call, CHANGING))
}

fn conflict(call: &Call<'_>, why: impl std::fmt::Display) -> Refusal {
    Refusal::conflict(Scope::Machine, call.name, why)
}

fn end(instance: &Instance) -> Value {
    json!({"action": "Stop", "uid": instance.metadata.uid})
}

/// Whether `seconds` is less than what the instance grants its guest.
fn is_shorter(instance: &Instance, seconds: Option<i64>) -> bool {
    let granted = instance.spec.termination_grace_period_seconds;
    seconds.is_some_and(|seconds| granted.is_none_or(|granted| seconds < granted))
}

/// Puts requests into the status, on the condition that the machine did not change meanwhile. A request to stop takes
/// the place of all others; anything else has to wait until those before it are done.
fn request(machine: &Machine, changes: &[Value]) -> Result<Vec<Value>, Refusal> {
    let unchanged = json!({
        "op": "test", "path": "/metadata/resourceVersion", "value": machine.metadata.resource_version,
    });
    let Some(status) = &machine.status else {
        let add = json!({"op": "add", "path": "/status", "value": {"stateChangeRequests": changes}});
        return Ok(vec![unchanged, add]);
    };
    let is_stop = matches!(changes, [only] if only["action"] == "Stop");
    if !status.state_change_requests.is_empty() && !is_stop {
        return Err(Refusal::internal("unable to complete request: stop/start already underway"));
    }
    let mut patch =
        vec![unchanged, json!({"op": "add", "path": "/status/stateChangeRequests", "value": changes})];
    if status.start_failure.is_some() {
        patch.push(json!({"op": "remove", "path": "/status/startFailure"}));
    }
    Ok(patch)
}

/// Takes back the requests to start a machine, on the condition that they did not change meanwhile.
fn withdrawal(machine: &Machine) -> Option<Vec<Value>> {
    let path = "/status/stateChangeRequests";
    let before = &machine.status.as_ref()?.state_change_requests;
    let after: Vec<&Value> = before.iter().filter(|request| request["action"] != "Start").collect();
    let change = match &after[..] {
        _ if after.len() == before.len() => return None,
        [] => json!({"op": "remove", "path": path}),
        after => json!({"op": "replace", "path": path, "value": after}),
    };
    Some(vec![json!({"op": "test", "path": path, "value": before}), change])
}

/// Switches the machine on or off in the field that its author uses.
fn switch(machine: &Machine, on: bool) -> Vec<Value> {
    let (path, before, after) = match &machine.spec.run_strategy {
        Some(strategy) => ("/spec/runStrategy", json!(strategy), json!(if on { "Always" } else { "Halted" })),
        None => ("/spec/running", json!(machine.spec.running), json!(on)),
    };
    vec![
        json!({"op": "test", "path": path, "value": before}),
        json!({"op": "replace", "path": path, "value": after}),
    ]
}

/// Changes the machine; tells whether it still was as the decision supposed.
async fn change(call: &Call<'_>, decision: Decision, dry_run: &[String]) -> Result<bool, Refusal> {
    let (subresource, patch) = decision;
    let key = Key::new(call.namespace, call.name);
    let patch = Patch::Json(patch.into());
    let changed = Api::<Machine>::new(call.client).patch_or_try(&key, subresource, &patch, dry_run).await;
    match changed {
        Ok(_) => Ok(true),
        Err(error) if Refusal::is_overtaken(&error) => Ok(false),
        Err(error) => Err(Refusal::of_change(Scope::Machine, call.name, &error)),
    }
}

/// Gives the guest of an instance another time to end in.
async fn grant(
    call: &Call<'_>,
    instance: &Instance,
    seconds: i64,
    dry_run: &[String],
) -> Result<(), Refusal> {
    let patch = Patch::Merge(json!({"spec": {"terminationGracePeriodSeconds": seconds}}));
    let changed = Api::<Instance>::new(call.client).patch_or_try(&instance.key(), "", &patch, dry_run).await;
    changed.map(drop).map_err(Refusal::internal)
}

/// Ends the launcher of an instance at once.
async fn end_launcher(call: &Call<'_>, instance: &Instance) -> Result<(), Refusal> {
    let api = Api::<PartialObject>::of(call.client, resources::POD);
    let labels = format!("{}=virt-launcher,{}={}", label::APP, label::CREATED_BY, instance.metadata.uid);
    let select = Select { labels, ..Select::fields("status.phase=Running") }.within(call.namespace);
    let pods = api.list(&select).await.map_err(|error| Refusal::of_api(&error))?;
    for pod in pods {
        let how = Delete { grace_seconds: Some(FORCED), ..Delete::only(pod.metadata.uid.clone()) };
        match api.delete(&pod.key(), &how).await {
            Err(error) if !error.is_not_found() => return Err(Refusal::of_api(&error)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(value: Value) -> Machine {
        serde_json::from_value(value).expect("a machine")
    }

    #[test]
    fn a_stop_takes_back_what_a_restart_left() {
        let of = |requests: Value| withdrawal(&machine(json!({"status": {"stateChangeRequests": requests}})));
        let stop = json!({"action": "Stop", "uid": "1"});
        let patch = of(json!([stop, {"action": "Start"}])).expect("there is a start");
        assert_eq!(patch[0]["value"], json!([stop, {"action": "Start"}]));
        assert_eq!(patch[1]["value"], json!([stop]));
        assert_eq!(of(json!([{"action": "Start"}])).expect("it is one")[1]["op"], "remove");
        assert_eq!(of(json!([stop])), None);
        assert_eq!(of(json!([])), None);
        assert_eq!(withdrawal(&machine(json!({}))), None);
    }

    #[test]
    fn a_request_waits_for_those_before_it_unless_it_stops() {
        let (begin, end) = (json!({"action": "Start"}), json!({"action": "Stop", "uid": "u"}));
        let fresh = machine(json!({"spec": {"runStrategy": "Manual"}}));
        let patch = request(&fresh, std::slice::from_ref(&begin)).expect("a patch");
        assert_eq!(patch[1]["path"], "/status");

        let busy = machine(json!({
            "metadata": {"resourceVersion": "7"},
            "status": {"stateChangeRequests": [begin], "startFailure": {}},
        }));
        assert!(request(&busy, std::slice::from_ref(&begin)).is_err());
        assert!(request(&busy, &[end.clone(), begin.clone()]).is_err());
        let patch = request(&busy, std::slice::from_ref(&end)).expect("a patch");
        assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}));
        assert_eq!(patch[1]["value"], json!([end]));
        assert_eq!(patch[2], json!({"op": "remove", "path": "/status/startFailure"}));
    }

    #[test]
    fn the_switch_is_the_field_that_the_author_used() {
        let modern = switch(&machine(json!({"spec": {"runStrategy": "Halted"}})), true);
        assert_eq!(modern[1], json!({"op": "replace", "path": "/spec/runStrategy", "value": "Always"}));
        let old = switch(&machine(json!({"spec": {"running": true}})), false);
        assert_eq!(old[1], json!({"op": "replace", "path": "/spec/running", "value": false}));
    }
}
