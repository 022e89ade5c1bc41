//! Admission webhooks: who is asked, in which order, and what becomes of the answers.
//!
//! Configurations are taken in the order of their names. Webhooks that change are asked one after another, those that
//! judge all at once. Each answer has its time, each webhook has a bound on questions under way, and one that does not
//! answer counts as its `failurePolicy` says.

mod answer;
mod hook;
mod kept;
mod review;

use std::collections::BTreeSet;
use std::sync::Arc;

use machinery::admission::{Operation, Request};
use machinery::status::{Cause, Status};
use serde_json::{Value, json};

use self::answer::Verdict;
use self::hook::Hook;
use super::{Context, Settle};
use crate::registry::{ResourceRef, convert};
use crate::{Refusal, Result, audit};

pub(super) use kept::Kept;
pub(in crate::admission) use review::request_facts;

/// The webhooks of an installation.
#[derive(Debug)]
pub(super) struct Webhooks {
    mutating: Kept<Arc<Hook>>,
    validating: Kept<Arc<Hook>>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            mutating: Kept::new("mutatingwebhookconfigurations"),
            validating: Kept::new("validatingwebhookconfigurations"),
        }
    }
}

/// What is to be asked again because somebody later changed the object.
#[derive(Debug, Default)]
pub(super) struct Reinvocation {
    /// Whether this is the second time around.
    again: bool,
    /// Webhooks already asked that want to see later changes.
    asked: BTreeSet<String>,
    /// Those of them after which the object changed.
    due: BTreeSet<String>,
    /// The object as the last webhook left it.
    left: Option<Value>,
}

impl Reinvocation {
    fn object_changed(&mut self) {
        self.due.append(&mut self.asked);
    }
}

/// Why a webhook stops a request.
enum Stop {
    /// It could not be asked, or what it answered is no answer. The failure policy decides.
    Call(String),
    /// The request is refused.
    Refused(Refusal),
}

impl Webhooks {
    /// Lets webhooks change the object; returns whether one did.
    pub(super) async fn mutate(
        &self,
        context: &Context,
        request: &mut Request,
        settle: Settle<'_>,
        reinvocation: &mut Reinvocation,
        warnings: &mut Vec<String>,
    ) -> Result<bool> {
        let hooks = self.mutating.current(&context.server, Hook::read_all);
        if reinvocation.again && reinvocation.left.as_ref() != Some(&request.object) {
            reinvocation.object_changed();
        }
        let mut any = false;
        let round = u8::from(reinvocation.again);
        for (index, hook) in hooks.iter().enumerate() {
            if reinvocation.again && !reinvocation.due.contains(&hook.id) {
                continue;
            }
            let Some(resource) = hook.wants(context, request)? else { continue };
            let asked = ask(context, hook, &resource, request, true).await;
            let patch = asked.as_ref().ok().and_then(|verdict| verdict.patch.clone());
            let outcome = match asked {
                Ok(verdict) => change(context, hook, &resource, request, settle, verdict, warnings),
                Err(stop) => Err(stop),
            };
            if matches!(outcome, Ok(true)) {
                any = true;
                reinvocation.object_changed();
            }
            if let Ok(mutated) = outcome {
                note_mutation(hook, &format!("round_{round}_index_{index}"), mutated, patch);
            }
            if hook.reinvoke {
                reinvocation.asked.insert(hook.id.clone());
            }
            if let Err(stop) = outcome {
                stopped(hook, stop, &format!("mutating.{NOTES}/round_{round}_index_{index}"))?;
            }
        }
        reinvocation.again = true;
        reinvocation.left = Some(request.object.clone());
        Ok(any)
    }

    /// Lets webhooks judge the request.
    pub(super) async fn validate(
        &self,
        context: &Context,
        request: &Request,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let hooks = self.validating.current(&context.server, Hook::read_all);
        let mut wanted = Vec::new();
        for (index, hook) in hooks.iter().enumerate() {
            if let Some(resource) = hook.wants(context, request)? {
                wanted.push((index, hook, resource));
            }
        }
        let calls = wanted.iter().map(|(_, hook, resource)| ask(context, hook, resource, request, false));
        let outcomes = futures::future::join_all(calls).await;
        let mut refusal = None;
        for ((index, hook, _), outcome) in wanted.iter().zip(outcomes) {
            let judged = outcome.and_then(|verdict| {
                warnings.extend(verdict.warnings);
                verdict.denial.map_or(Ok(()), |status| Err(Stop::Refused(status)))
            });
            if let Err(stop) = judged {
                let stopped = stopped(hook, stop, &format!("validating.{NOTES}/round_0_index_{index}"));
                refusal = refusal.or_else(|| stopped.err());
            }
        }
        refusal.map_or(Ok(()), Err)
    }
}

/// Asks one webhook about the request, with the objects in the version that it wants.
async fn ask(
    context: &Context,
    hook: &Hook,
    resource: &ResourceRef,
    request: &Request,
    mutating: bool,
) -> Result<Verdict, Stop> {
    if request.dry_run && !hook.may_run_dry() {
        let why = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Stop::Refused(Status::bad_request(why).into()));
    }
    let version = hook.review_version().map_err(Stop::Call)?;
    let body = review::body(version, context, resource, request);
    let answered = hook.post(context, body).await.map_err(Stop::Call)?;
    let verdict = answer::read(&answered, version, &request.uid, mutating, &hook.name).map_err(Stop::Call)?;
    for (key, value) in &verdict.annotations {
        audit::annotate(key, value);
    }
    Ok(verdict)
}

/// Carries out what a webhook answered; returns whether the object changed.
fn change(
    context: &Context,
    hook: &Hook,
    resource: &ResourceRef,
    request: &mut Request,
    settle: Settle<'_>,
    verdict: Verdict,
    warnings: &mut Vec<String>,
) -> Result<bool, Stop> {
    warnings.extend(verdict.warnings);
    if let Some(status) = verdict.denial {
        return Err(Stop::Refused(status));
    }
    let Some(patch) = verdict.patch.filter(|patch| patch.as_array().is_none_or(|list| !list.is_empty()))
    else {
        return Ok(false);
    };
    if request.operation == Operation::Delete || request.object.is_null() {
        let why = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        );
        return Err(Stop::Refused(Status::bad_request(why).into()));
    }
    let shown = review::in_version(&context.resource, resource, request.object.clone());
    let patched = machinery::patch::json::apply(&shown, &patch).map_err(|error| {
        let why = format!("the patch of admission webhook {:?} does not apply: {error}", hook.name);
        Stop::Refused(internal(&why))
    })?;
    let mut object = if resource.gvk == context.resource.gvk {
        patched
    } else {
        convert::from_storage(&context.resource, convert::to_storage(resource, patched))
    };
    settle(&mut object).map_err(Stop::Refused)?;
    let changed = object != request.object;
    request.object = object;
    Ok(changed)
}

/// The request with its objects in the version of `shown`.
pub(super) fn converted(context: &Context, shown: &ResourceRef, request: &Request) -> Request {
    let own = &context.resource;
    Request {
        object: review::in_version(own, shown, request.object.clone()),
        old_object: review::in_version(own, shown, request.old_object.clone()),
        ..request.clone()
    }
}

/// Where what the server notes about webhooks for the audit log is named.
const NOTES: &str = "webhook.admission.k8s.io";

/// Tells the audit log what a webhook that changes did.
fn note_mutation(hook: &Hook, place: &str, mutated: bool, patch: Option<Value>) {
    let (configuration, webhook) = (&hook.configuration, &hook.name);
    let mutation = json!({"configuration": configuration, "webhook": webhook, "mutated": mutated});
    audit::annotate(&format!("mutation.{NOTES}/{place}"), &mutation.to_string());
    if let Some(patch) = patch.filter(|_| mutated) {
        let patch = json!({"configuration": configuration, "webhook": webhook, "patch": patch, "patchType": "JSONPatch"});
        audit::annotate_request(&format!("patch.{NOTES}/{place}"), &patch.to_string());
    }
}

/// What a failure means for the request; `note` tells the audit log of one that counts for nothing.
fn stopped(hook: &Hook, stop: Stop, note: &str) -> Result<()> {
    match stop {
        Stop::Refused(status) => Err(status),
        Stop::Call(why) => {
            let why = format!("failed calling webhook {:?}: {why}", hook.name);
            if hook.fails_closed {
                return Err(internal(&why));
            }
            tracing::warn!(configuration = hook.configuration, "{why}; its failurePolicy is Ignore");
            audit::annotate(&format!("failed-open.{note}"), &hook.name);
            Ok(())
        }
    }
}

/// 500, in the form in which clients know it from webhooks.
fn internal(why: &str) -> Refusal {
    let mut status = Status::internal(why);
    status.message = format!("Internal error occurred: {why}");
    let cause = Cause { message: why.to_owned(), ..Cause::default() };
    status.details.get_or_insert_default().causes = vec![cause];
    status.into()
}
