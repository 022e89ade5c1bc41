//! Charging a write to the quotas of its namespace, before it is stored.

use std::sync::Arc;

use machinery::object;
use machinery::quantity::{Format, Quantity};
use machinery::status::Status;
use serde_json::Value;

use super::recount::Charged;
use super::{Amounts, QUOTAS, measure, of_namespace, read, recount, scope, write};
use crate::Result;
use crate::cache::Entry;
use crate::resource::Call;
use crate::resource::storage::{self, CommitError, Intent};

/// How often a charge is tried anew because the quota changed meanwhile.
const ATTEMPTS: usize = 20;

/// Charges what `draft` uses beyond `old` to every quota of the namespace that covers it; a dry run only asks. What is
/// returned must be kept until the write is stored.
///
/// # Errors
/// Refuses what exceeds a quota, naming quota, amounts and limit, and new Pods that leave open what a quota limits.
pub(crate) async fn charge(
    call: &Call,
    draft: &Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Option<Charged>> {
    if of_namespace(call.server.caches(), call.namespace()).is_empty() {
        return Ok(None);
    }
    let charged = call.server.recount().begin().await;
    let entries = of_namespace(call.server.caches(), call.namespace());
    // All are asked before any is charged.
    for entry in &entries {
        bill(call, &fresh(call, entry)?, draft, old)?;
    }
    if !dry_run {
        for entry in entries {
            charge_one(call, entry, draft, old).await?;
        }
    }
    Ok(Some(charged))
}

async fn charge_one(call: &Call, mut entry: Arc<Entry>, draft: &Value, old: Option<&Value>) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut quota = fresh(call, &entry)?;
        let Some(used) = bill(call, &quota, draft, old)? else { return Ok(()) };
        quota["status"]["used"] = write(&used);
        let key = entry.key.clone();
        match storage::commit(&call.server, &QUOTAS, &key, Some(entry.revision), Intent::Put(&quota)).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict) => match call.server.object(&QUOTAS, &key) {
                Some(newer) => entry = newer,
                None => return Ok(()),
            },
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    Err(Status::stale(&call.resource.gvr(), object::name(draft)).into())
}

/// Returns a quota with a status that is about its present limits: one that was just made is counted here and now.
fn fresh(call: &Call, entry: &Entry) -> Result<Value> {
    let mut quota: Value = entry.parse().map_err(Status::internal)?;
    if quota["status"]["hard"] != quota["spec"]["hard"] {
        quota["status"] = recount::count(&call.server, &quota);
    }
    Ok(quota)
}

/// Returns what is used of a quota with this write, or nothing when the write does not concern it.
fn bill(call: &Call, quota: &Value, draft: &Value, old: Option<&Value>) -> Result<Option<Amounts>> {
    let collection = &call.resource.collection;
    if !scope::covers(quota, collection, draft) {
        return Ok(None);
    }
    let refuse = |why: String| Status::forbidden(&call.resource.gvr(), object::name(draft), why);
    let name = object::name(quota);
    let limits = read(&quota["status"]["hard"]);
    let is_pod = call.resource.group().is_empty() && call.resource.plural() == "pods";
    if is_pod && old.is_none() {
        let unstated = measure::unstated(&limits, draft);
        if !unstated.is_empty() {
            let parts = unstated.iter().map(|(what, of)| format!("{what} for: {}", of.join(",")));
            let parts = parts.collect::<Vec<_>>().join("; ");
            return Err(refuse(format!("failed quota: {name}: must specify {parts}")).into());
        }
    }
    let zero = Quantity::new(0, Format::Decimal);
    let before = old.map(|old| measure::usage(collection, old)).unwrap_or_default();
    let mut asked = Amounts::new();
    for (what, amount) in measure::usage(collection, draft) {
        let more = before.get(&what).map_or(amount, |had| amount - *had);
        if limits.contains_key(&what) && more > zero {
            asked.insert(what, more);
        }
    }
    if asked.is_empty() {
        return Ok(None);
    }
    let mut used = read(&quota["status"]["used"]);
    let had = |what: &str| used.get(what).copied().unwrap_or(zero);
    let over = asked
        .iter()
        .filter(|(what, more)| limits.get(*what).is_some_and(|limit| had(what) + **more > *limit));
    let over: Vec<_> = over.map(|(what, _)| what.as_str()).collect();
    if !over.is_empty() {
        let list = |of: &dyn Fn(&str) -> Quantity| {
            over.iter().map(|what| format!("{what}={}", of(what).canonical())).collect::<Vec<_>>().join(",")
        };
        let limit = |what: &str| limits.get(what).copied().unwrap_or(zero);
        let (requested, taken, limited) =
            (list(&|what| asked.get(what).copied().unwrap_or(zero)), list(&had), list(&limit));
        let why =
            format!("exceeded quota: {name}, requested: {requested}, used: {taken}, limited: {limited}");
        return Err(refuse(why).into());
    }
    for (what, more) in asked {
        super::add(&mut used, what, more);
    }
    Ok(Some(used))
}
