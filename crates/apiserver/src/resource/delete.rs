//! Deleting one object or a collection: preconditions, grace, finalizers, propagation.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::SignedDuration;
use jiff::Timestamp;
use machinery::field::{FieldError, Path};
use machinery::gvk::{Gvk, Gvr};
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::options::ListOptions;
use super::present;
use super::storage::{self, CommitError, Intent};
use super::{Call, admit, decode, list, metadata, strategy};
use crate::cache::{Entry, ObjectKey};
use crate::{Body, Result, audit, body, conversion};

/// What becomes of the objects that depend on a deleted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The options of a delete.
#[derive(Clone, Debug, Default)]
struct DeleteOptions {
    dry_run: bool,
    grace: Option<i64>,
    uid: Option<String>,
    resource_version: Option<String>,
    propagation: Option<Propagation>,
    raw: Value,
}

impl DeleteOptions {
    fn parse(call: &Call, body: &[u8]) -> Result<Self> {
        let mut raw = json!({});
        if !body.is_empty() {
            raw = decode::object(&call.headers, body)?.value;
            let kind = object::kind(&raw);
            if !raw.is_object() || !matches!(kind, "" | "DeleteOptions") {
                return Err(Status::bad_request(format!(
                    "the body of a delete must be DeleteOptions, not {kind:?}"
                ))
                .into());
            }
            audit::requested_change(&raw);
        }
        for (name, value) in [
            ("gracePeriodSeconds", call.query.get("gracePeriodSeconds")),
            ("propagationPolicy", call.query.get("propagationPolicy")),
            ("orphanDependents", call.query.get("orphanDependents")),
            ("dryRun", call.query.get("dryRun")),
        ] {
            if value.is_empty() || raw.get(name).is_some() {
                continue;
            }
            raw[name] = match name {
                "gracePeriodSeconds" => json!(value.parse::<i64>().map_err(|_| {
                    Status::bad_request(format!("gracePeriodSeconds must be a whole number, not {value:?}"))
                })?),
                "orphanDependents" => json!(value == "true"),
                "dryRun" => json!([value]),
                _ => value.into(),
            };
        }
        Self::read(raw)
    }

    fn read(raw: Value) -> Result<Self> {
        let mut errors = Vec::new();
        let text = |pointer: &str| raw.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let mut options = Self {
            grace: raw.get("gracePeriodSeconds").and_then(Value::as_i64),
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            ..Self::default()
        };
        let policy = text("/propagationPolicy");
        options.propagation = match policy.as_deref() {
            None | Some("") => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(FieldError::not_supported(Path::new("propagationPolicy"), other, supported));
                None
            }
        };
        if let Some(orphan) = raw.get("orphanDependents").and_then(Value::as_bool) {
            if policy.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(FieldError::invalid(Path::new("propagationPolicy"), policy, detail));
            }
            options.propagation = Some(if orphan { Propagation::Orphan } else { Propagation::Background });
        }
        let dry_runs: Vec<&str> =
            raw["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match dry_runs.as_slice() {
            [] => {}
            all if all.iter().all(|value| *value == "All") => options.dry_run = true,
            bad => errors.push(FieldError::not_supported(Path::new("dryRun"), bad.to_vec(), ["All"])),
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", "DeleteOptions"), "", &errors).into());
        }
        options.raw = raw;
        Ok(options)
    }
}

/// Answers a delete.
pub(crate) async fn delete(call: &mut Call, body: &Bytes) -> Result<Response<Body>> {
    let options = DeleteOptions::parse(call, body)?;
    let key = call.key();
    let outcome = match delete_one(call, &key, &options).await? {
        Outcome::Gone(entry) => Outcome::Gone(conversion::shown(&call.server, &call.resource, &entry).await?),
        Outcome::Marked(entry) => {
            Outcome::Marked(conversion::shown(&call.server, &call.resource, &entry).await?)
        }
    };
    answer(call, &key, &outcome)
}

/// What a delete did.
#[derive(Debug)]
enum Outcome {
    /// The object is gone; this is its last state.
    Gone(Arc<Entry>),
    /// The object is marked and goes when its grace has passed and its finalizers are gone.
    Marked(Arc<Entry>),
}

fn answer(call: &Call, key: &ObjectKey, outcome: &Outcome) -> Result<Response<Body>> {
    match outcome {
        Outcome::Marked(entry) => present::object(call, StatusCode::OK, entry),
        Outcome::Gone(entry) if strategy::shows_deleted(&call.resource) => {
            present::object(call, StatusCode::OK, entry)
        }
        Outcome::Gone(entry) => {
            let last = present::value_of(&call.resource, entry)?;
            let mut status = Status::deleted(&call.resource.gvr(), &key.name, object::uid(&last)).to_value();
            status["code"] = Value::Null;
            if let Some(fields) = status.as_object_mut() {
                fields.shift_remove("code");
            }
            Ok(body::json(StatusCode::OK, &status))
        }
    }
}

/// How often a delete is tried again because the object changed meanwhile.
const ATTEMPTS: usize = 20;

async fn delete_one(call: &mut Call, key: &ObjectKey, options: &DeleteOptions) -> Result<Outcome> {
    strategy::check_delete(call, key)?;
    for _ in 0..ATTEMPTS {
        let resource = Arc::clone(&call.resource);
        let found = storage::current(&call.server, &resource, key).await?;
        let entry = found.ok_or_else(|| call.not_found(&key.name))?;
        let old = present::current(&call.server, &resource, &entry).await?;
        preconditions(call, key, &old, options)?;
        admit::delete(call, &key.name, &old, options.dry_run, &options.raw).await?;
        let mut draft = old.clone();
        let remove = mark(call, &mut draft, &old, options);
        if !remove && draft == old {
            return Ok(Outcome::Marked(entry));
        }
        let stored = conversion::stored(&call.server, &resource, draft).await?;
        let last = Entry::new(
            entry.key.clone(),
            entry.revision,
            &crate::cache::stored_bytes(&stored),
            Arc::clone(&entry.facets),
        );
        if options.dry_run {
            let last = Arc::new(last);
            return Ok(if remove { Outcome::Gone(last) } else { Outcome::Marked(last) });
        }
        let intent = if remove { Intent::Remove(&last) } else { Intent::Put(&stored) };
        match storage::commit(&call.server, &resource.collection, key, Some(entry.revision), intent).await {
            Ok(_) if remove => {
                strategy::after_delete(&call.server, &resource, &stored);
                return Ok(Outcome::Gone(Arc::new(last)));
            }
            Ok(written) => {
                strategy::after_write(&call.server, &resource, Some(&stored));
                return Ok(Outcome::Marked(written));
            }
            Err(CommitError::Conflict) => {}
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    Err(Status::stale(&call.resource.gvr(), &key.name).into())
}

fn preconditions(call: &Call, key: &ObjectKey, old: &Value, options: &DeleteOptions) -> Result<()> {
    let differ = |what: &str, wanted: &str, found: &str, perhaps: &str| {
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). \
             The object might have been {perhaps}"
        );
        // Here, and only here, Kubernetes names the kind where refusals name the resource.
        let gvk = &call.resource.gvk;
        let named = Gvr::new(gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str());
        Err(Status::conflict(&named, &key.name, why).into())
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object::uid(old)) {
        return differ("UID", uid, object::uid(old), "deleted and then recreated");
    }
    if let Some(version) =
        options.resource_version.as_deref().filter(|version| *version != object::resource_version(old))
    {
        return differ("ResourceVersion", version, object::resource_version(old), "modified");
    }
    Ok(())
}

/// Puts deletion time, grace and propagation finalizers into `draft`; returns whether it can go at once.
fn mark(call: &Call, draft: &mut Value, old: &Value, options: &DeleteOptions) -> bool {
    propagate(draft, options.propagation);
    let already = object::is_being_deleted(old);
    let present_grace = object::i64_at(old, &["metadata", "deletionGracePeriodSeconds"]);
    let grace = strategy::grace(&call.resource, old, options.grace);
    if !already {
        let now = call.server.now();
        let at = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
        set_deletion(draft, at, grace);
        if object::generation(old) > 0 {
            object::set_meta(draft, "generation", object::generation(old) + 1);
        }
        strategy::begin_delete(call, draft);
    } else if let Some(present) = present_grace.filter(|present| options.grace.is_some() && grace < *present)
    {
        let at: Timestamp = object::deletion_timestamp(old).parse().unwrap_or_else(|_| call.server.now());
        let sooner = at.checked_sub(SignedDuration::from_secs(present - grace)).unwrap_or(at);
        set_deletion(draft, sooner, grace);
    }
    metadata::is_releasable(&call.resource, draft)
}

fn set_deletion(draft: &mut Value, at: Timestamp, grace: i64) {
    object::set_meta(draft, "deletionTimestamp", at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    object::set_meta(draft, "deletionGracePeriodSeconds", grace);
}

fn propagate(draft: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut finalizers: Vec<String> = object::finalizers(draft)
        .filter(|finalizer| !matches!(*finalizer, "orphan" | "foregroundDeletion"))
        .map(str::to_owned)
        .collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push("foregroundDeletion".to_owned()),
        Propagation::Orphan => finalizers.push("orphan".to_owned()),
    }
    object::set_finalizers(draft, &finalizers);
}

/// Answers a deletion of a collection with the list of what was deleted.
pub(crate) async fn delete_collection(call: &mut Call, body: &Bytes) -> Result<Response<Body>> {
    let options = DeleteOptions::parse(call, body)?;
    let mut list_options = ListOptions::parse(call, false)?;
    // A list of any state would come whole, and no more may go than the limit says.
    if list_options.version == "0" {
        list_options.version.clear();
    }
    let (entries, meta) = list::select(call, &list_options).await?;
    let mut shown = Vec::with_capacity(entries.len());
    for entry in entries {
        match delete_one(call, &entry.key, &options).await {
            Ok(Outcome::Gone(entry) | Outcome::Marked(entry)) => shown.push(entry),
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let shown = conversion::all_shown(&call.server, &call.resource, shown).await?;
    present::list(call, &shown, &meta)
}
