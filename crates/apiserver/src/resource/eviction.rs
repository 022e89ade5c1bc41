//! Evicting a Pod: a deletion in which the budget for its disruption has a say.
//!
//! A Pod that is ready costs its budget a disruption. That is written down before the Pod goes, so that two evictions at the
//! same time cannot spend the same one; whoever keeps the budgets counts anew once the Pod is gone. The Pod itself says why
//! it goes (`DisruptionTarget`).

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use machinery::condition::{self, Condition, ConditionStatus};
use machinery::gvk::Gvr;
use machinery::object;
use machinery::selector::LabelSelector;
use machinery::status::{Cause, Status};
use serde_json::{Value, json};

use super::storage::{self, CommitError, Intent};
use super::subresource::{done, take};
use super::{Call, WriteOptions, admit, decode, delete, metadata, present, write};
use crate::cache::Entry;
use crate::registry::Collection;
use crate::{Body, Result, body};

static BUDGETS: LazyLock<Collection> = LazyLock::new(|| Collection::new("policy", "poddisruptionbudgets"));
/// Condition of a Pod that goes, and not because of itself.
const TARGET: &str = "DisruptionTarget";
/// How many evictions a budget may have granted of which its keeper has not heard.
const UNHEARD: usize = 2000;
/// How often an eviction is tried anew because Pod or budget changed meanwhile.
const ATTEMPTS: usize = 20;
/// Seconds after which it is worth while to ask again for a budget that nobody has looked at yet.
const SOON: i32 = 10;

/// Deletes a Pod, unless its budget forbids it.
pub(super) async fn evict(call: &mut Call, request_body: &mut Option<Body>) -> Result<Response<Body>> {
    let options = WriteOptions::parse(&call.query, "CreateOptions", false)?;
    let decoded = decode::object(&call.headers, &take(request_body).await?)?;
    let eviction = write::accept(call, decoded, options.validation)?;
    if object::name(&eviction) != &*call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    let eviction = admit::alone(call, eviction, &options).await?;
    let mut wanted =
        eviction.get("deleteOptions").filter(|given| given.is_object()).cloned().unwrap_or_else(|| json!({}));
    if options.dry_run {
        wanted["dryRun"] = json!(["All"]);
    }
    let dry_run = wanted["dryRun"].as_array().is_some_and(|all| !all.is_empty());
    let is_pinned = wanted.pointer("/preconditions/resourceVersion").is_some_and(Value::is_string);
    call.headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(body::JSON));
    call.subresource = None;
    let mut marked = None;
    let outcome = delete_within_budget(call, &wanted, dry_run, is_pinned, &mut marked).await;
    if let (Err(_), Some(marked)) = (&outcome, &marked) {
        // It stays, and may end by itself one day. That it says so no longer is not worth another refusal.
        let _ = unmark(call, marked).await;
    }
    outcome
}

async fn delete_within_budget(
    call: &mut Call,
    wanted: &Value,
    dry_run: bool,
    is_pinned: bool,
    marked: &mut Option<Marked>,
) -> Result<Response<Body>> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let key = call.key();
        let entry = storage::current(&call.server, &call.resource, &key).await?;
        let entry = entry.ok_or_else(|| call.not_found(&key.name))?;
        let pod = present::value_of(&call.resource, &entry)?;
        let cost = cost(call, &pod)?;
        if let Cost::Disruption(budget) = &cost {
            spend(call, Arc::clone(budget), object::name(&pod), dry_run).await?;
        }
        let mut how = wanted.clone();
        // A Pod that is ready by now is not the one that was judged.
        let guarded = matches!(cost, Cost::NothingWhileUnready) && !is_pinned;
        if guarded {
            how["preconditions"]["resourceVersion"] = object::resource_version(&pod).into();
        }
        if !dry_run {
            let now = mark(call, &mut how).await?;
            // What an attempt before has marked is this eviction's, too.
            *marked = marked.take().filter(|marked| marked.uid == object::uid(&pod)).or(now);
        }
        match delete::delete(call, &Bytes::from(how.to_string())).await {
            Err(status) if guarded && attempts < ATTEMPTS && status.reason == "Conflict" => {}
            Err(status) => return Err(status),
            Ok(_) => return Ok(done()),
        }
    }
}

/// A Pod that says that it goes because of this eviction.
struct Marked {
    uid: String,
    /// The condition as it was.
    before: Option<Value>,
}

fn target(status: ConditionStatus, message: &str) -> Condition {
    Condition { kind: TARGET.into(), status, reason: "EvictionByEvictionAPI".into(), message: message.into() }
}

/// Says on the Pod why it goes, before it goes, so that whoever counts its failures can tell; nothing if it does already.
/// Preconditions that hold go on holding; where they do not, the deletion says so.
async fn mark(call: &Call, how: &mut Value) -> Result<Option<Marked>> {
    let key = call.key();
    for _ in 0..ATTEMPTS {
        let entry = storage::current(&call.server, &call.resource, &key).await?;
        let entry = entry.ok_or_else(|| call.not_found(&key.name))?;
        let mut pod = present::value_of(&call.resource, &entry)?;
        let wanted = |name: &str| object::str_at(how, &["preconditions", name]);
        let holds = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        if !holds(wanted("uid"), object::uid(&pod))
            || !holds(wanted("resourceVersion"), object::resource_version(&pod))
        {
            return Ok(None);
        }
        let marked =
            Marked { uid: object::uid(&pod).to_owned(), before: condition::of(&pod, TARGET).cloned() };
        let condition = target(ConditionStatus::True, "Eviction API: evicting");
        if !condition::set(&mut pod["status"]["conditions"], &condition, &metadata::timestamp(call)) {
            return Ok(None);
        }
        if let Some(revision) = put(call, &entry, &pod).await? {
            if !wanted("resourceVersion").is_empty() {
                how["preconditions"]["resourceVersion"] = revision.to_string().into();
            }
            return Ok(Some(marked));
        }
    }
    Err(Status::stale(&call.resource.gvr(), &key.name).into())
}

/// Says on the Pod that it does not go after all, or what it said before; unless something else deletes it.
async fn unmark(call: &Call, marked: &Marked) -> Result<()> {
    let key = call.key();
    for _ in 0..ATTEMPTS {
        let Some(entry) = storage::current(&call.server, &call.resource, &key).await? else { return Ok(()) };
        let mut pod = present::value_of(&call.resource, &entry)?;
        if object::uid(&pod) != marked.uid || object::is_being_deleted(&pod) {
            return Ok(());
        }
        let conditions = &mut pod["status"]["conditions"];
        if let Some(before) = &marked.before {
            let written = conditions.as_array_mut().into_iter().flatten();
            written.filter(|one| one["type"] == TARGET).for_each(|now| now.clone_from(before));
        } else {
            let condition = target(ConditionStatus::False, "Eviction API: the deletion was refused");
            condition::set(conditions, &condition, &metadata::timestamp(call));
        }
        if put(call, &entry, &pod).await?.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes the Pod unless it changed meanwhile; returns its new revision.
async fn put(call: &Call, entry: &Entry, pod: &Value) -> Result<Option<u64>> {
    let intent = Intent::Put(pod);
    let collection = &call.resource.collection;
    match storage::commit(&call.server, collection, &entry.key, Some(entry.revision), intent).await {
        Ok(written) => Ok(Some(written.revision)),
        Err(CommitError::Conflict) => Ok(None),
        Err(CommitError::Failed(status)) => Err(status),
    }
}

/// What an eviction costs.
enum Cost {
    Nothing,
    /// Nothing as long as the Pod is as it is.
    NothingWhileUnready,
    /// One of the disruptions that this budget allows.
    Disruption(Arc<Entry>),
}

fn cost(call: &Call, pod: &Value) -> Result<Cost> {
    let phase = object::str_at(pod, &["status", "phase"]);
    if matches!(phase, "Succeeded" | "Failed") || object::is_being_deleted(pod) {
        return Ok(Cost::Nothing);
    }
    if phase == "Pending" {
        return Ok(Cost::NothingWhileUnready);
    }
    let budgets = call.server.caches().of(&BUDGETS).snapshot(call.namespace()).0;
    let mut concerned = budgets.into_iter().filter_map(|entry| {
        let budget: Value = entry.parse().ok()?;
        let selector = LabelSelector::from_object(&budget["spec"]["selector"]).ok()?;
        selector.matches(pod).then_some((entry, budget))
    });
    let Some((entry, budget)) = concerned.next() else { return Ok(Cost::Nothing) };
    if concerned.next().is_some() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Status::unexplained(500, why).into());
    }
    // A Pod that serves nobody is no loss, unless too few others do.
    let (current, desired) = (number(&budget, "currentHealthy"), number(&budget, "desiredHealthy"));
    let always = object::str_at(&budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    if !condition::is_true(pod, "Ready") && (always || (current >= desired && desired > 0)) {
        return Ok(Cost::NothingWhileUnready);
    }
    Ok(Cost::Disruption(entry))
}

/// Takes one disruption off a budget, for a Pod that is about to go.
async fn spend(call: &Call, mut entry: Arc<Entry>, pod: &str, dry_run: bool) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut budget: Value = entry.parse().map_err(Status::internal)?;
        check(&budget)?;
        if dry_run {
            return Ok(());
        }
        let now = metadata::timestamp(call);
        let left = number(&budget, "disruptionsAllowed") - 1;
        budget["status"]["disruptionsAllowed"] = left.into();
        budget["status"]["disruptedPods"][pod] = now.as_str().into();
        if left == 0 {
            let condition = Condition {
                kind: "DisruptionAllowed".into(),
                status: ConditionStatus::False,
                reason: "InsufficientPods".into(),
                message: String::new(),
            };
            condition::set(&mut budget["status"]["conditions"], &condition, &now);
        }
        match storage::commit(&call.server, &BUDGETS, &entry.key, Some(entry.revision), Intent::Put(&budget))
            .await
        {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict) => match call.server.object(&BUDGETS, &entry.key) {
                Some(newer) => entry = newer,
                None => return Ok(()),
            },
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    let why = format!("couldn't update PodDisruptionBudget {:?} due to conflicts", entry.key.name);
    Err(Status::timeout(why, SOON).into())
}

/// Refuses if a budget allows no disruption now.
fn check(budget: &Value) -> Result<()> {
    let name = object::name(budget);
    let refuse = |seconds: i32, message: String| {
        let cause = Cause { reason: "DisruptionBudget".into(), message, field: String::new() };
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Err(Status::too_many_requests(message, seconds).with_causes(vec![cause]).into())
    };
    if number(budget, "observedGeneration") < object::generation(budget) {
        return refuse(SOON, format!("The disruption budget {name} is still being processed by the server."));
    }
    let gvr = Gvr::new("policy", "", "poddisruptionbudget");
    let allowed = number(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(&gvr, name, "pdb disruptions allowed is negative").into());
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > UNHEARD) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(&gvr, name, why).into());
    }
    if allowed > 0 {
        return Ok(());
    }
    let (current, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
    let said = condition::of(budget, "DisruptionAllowed")
        .map(|said| {
            (
                object::str_at(said, &["status"]),
                object::str_at(said, &["reason"]),
                object::str_at(said, &["message"]),
            )
        })
        .filter(|(status, _, message)| *status == "False" && !message.is_empty());
    refuse(
        0,
        match said {
            // What was counted before a count that failed says nothing.
            Some((_, "SyncFailed", message)) => {
                format!(
                    "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
                )
            }
            _ if current <= desired => {
                format!(
                    "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
                )
            }
            Some((_, reason, message)) => {
                format!(
                    "The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
                )
            }
            None => format!("The disruption budget {name} does not allow evicting pods currently"),
        },
    )
}

fn number(budget: &Value, field: &str) -> i64 {
    object::i64_at(budget, &["status", field]).unwrap_or(0)
}
