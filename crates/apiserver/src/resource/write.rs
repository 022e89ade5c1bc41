//! What every write goes through: metadata, schema, ownership, admission, validation, storage.

use std::sync::Arc;

use machinery::admission::Operation;
use machinery::field::{FieldError, Path, Problem};
use machinery::gvk::Gvk;
use machinery::object;
use machinery::status::Status;
use serde_json::Value;

use super::decode::Decoded;
use super::ownership::{self, Ownership};
use super::storage::{self, CommitError, Intent};
use super::strategy::{self, Strategy};
use super::{Call, FieldValidation, WriteOptions, admit, metadata, present, quota, scale};
use crate::cache::{Entry, Facets, ObjectKey, stored_bytes};
use crate::registry::Resource;
use crate::registry::schema::SchemaSource;
use crate::{Result, audit, auth, conversion};

/// How often a write is computed anew because the object changed meanwhile.
const ATTEMPTS: usize = 20;
/// Names that are made up for an object at most.
const GENERATED_NAMES: usize = 8;

/// Checks a decoded body against the kind that the path means, and settles unknown and duplicate fields.
///
/// # Errors
/// Refuses other kinds, wrong types, and (when strict) unknown and duplicate fields.
pub(crate) fn accept(call: &mut Call, decoded: Decoded, validation: FieldValidation) -> Result<Value> {
    let Decoded { mut value, duplicates } = decoded;
    let resource = Arc::clone(&call.resource);
    let expected = body_kind(call);
    let own = expected == resource.gvk;
    check_kind(&mut value, &expected, resource.custom && own)?;
    if let Some(schema) = body_schema(&resource, &expected) {
        let problems = schema.settle(&mut value).map_err(|why| cannot_handle(&expected, &why))?;
        strict(call, &expected, duplicates, problems, validation)?;
    }
    audit::requested(&value, |sent| {
        if own {
            default(&strategy::of(&resource), call, sent);
        }
    });
    Ok(value)
}

/// The kind of what a request brings.
pub(super) fn body_kind(call: &Call) -> Gvk {
    call.subresource.as_ref().map_or(&call.resource.gvk, |sub| &sub.gvk).clone()
}

/// The schema of a kind that requests to a resource, or to one of its subresources, bring.
pub(super) fn body_schema<'r>(resource: &'r Resource, gvk: &Gvk) -> Option<&'r SchemaSource> {
    if *gvk == resource.gvk { Some(&resource.schema) } else { SchemaSource::of_subresource(gvk) }
}

/// Treats duplicate and unknown fields as the client asked.
pub(crate) fn strict(
    call: &mut Call,
    gvk: &Gvk,
    duplicates: Vec<String>,
    unknown: Vec<String>,
    validation: FieldValidation,
) -> Result<()> {
    if validation == FieldValidation::Ignore {
        return Ok(());
    }
    let advice: Vec<String> = unknown.iter().map(|path| advice(call, gvk, path)).collect();
    let duplicates = duplicates.into_iter().map(|path| format!("duplicate field {path:?}"));
    let unknown = unknown.into_iter().map(|path| format!("unknown field {path:?}"));
    let sentences: Vec<String> = duplicates.chain(unknown).collect();
    let refusal = (validation == FieldValidation::Strict && !sentences.is_empty())
        .then(|| cannot_handle(gvk, &format!("strict decoding error: {}", sentences.join(", "))));
    let told = if refusal.is_none() { sentences } else { Vec::new() };
    for sentence in told.into_iter().chain(advice) {
        call.warn(sentence);
    }
    refusal.map_or(Ok(()), Err)
}

/// Says what to write instead of an unknown field. Refusals name the field in the words that clients know; what to do
/// stands beside them.
fn advice(call: &Call, gvk: &Gvk, path: &str) -> String {
    let Gvk { group, kind, .. } = gvk;
    if let Some(advice) = call.server.admission().advice(group, kind, path) {
        return format!("ironclad: {path} is no field of {kind}: {advice}");
    }
    if let Some(near) = call.resource.schema.schema().nearest(path) {
        return format!("ironclad: {path} is no field of {kind}; did you mean {near}?");
    }
    let above = path.rsplit_once('.').map_or(String::new(), |(above, _)| format!(".{above}"));
    let above: String =
        above.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
    let plural = call.resource.plural();
    format!("ironclad: {path} is no field of {kind}; `kubectl explain {plural}{above}` lists those that are")
}

fn cannot_handle(gvk: &Gvk, why: &str) -> Box<Status> {
    let Gvk { version, kind, .. } = gvk;
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}")).into()
}

fn check_kind(value: &mut Value, expected: &Gvk, custom: bool) -> Result<()> {
    let Some(fields) = value.as_object_mut() else {
        return Err(
            Status::bad_request(format!("the body must be one object of kind {}", expected.kind)).into()
        );
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version.is_empty() && kind.is_empty() && !custom {
        fields.insert("apiVersion".into(), expected.api_version().into());
        fields.insert("kind".into(), expected.kind.clone().into());
        return Ok(());
    }
    if version != expected.api_version() {
        let wanted = expected.api_version();
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({wanted})"
        ))
        .into());
    }
    if kind != expected.kind {
        let wanted = &expected.kind;
        return Err(Status::bad_request(format!(
            "the kind of the data is {kind:?}; this path takes {wanted}"
        ))
        .into());
    }
    Ok(())
}

/// The outcome of a write.
#[derive(Debug)]
pub(crate) struct Written {
    /// The object after the write.
    pub(crate) entry: Arc<Entry>,
    /// Whether it came into being.
    pub(crate) created: bool,
}

/// Creates an object of the call's resource.
///
/// # Errors
/// Refuses what validation or admission refuse, and names that are taken.
pub(crate) async fn create(
    call: &mut Call,
    object: Value,
    options: &WriteOptions,
    owner: &Ownership,
) -> Result<Written> {
    let mut object = object;
    metadata::before_create(call, &mut object)?;
    let written = if object::name(&object).is_empty() {
        create_generated(call, object, options, owner).await?
    } else {
        create_once(call, object, false, options, owner).await?
    };
    let entry = conversion::shown(&call.server, &call.resource, &written.entry).await?;
    Ok(Written { entry, ..written })
}

/// Creates an object under a name that is made up; another one, if that is taken.
async fn create_generated(
    call: &mut Call,
    object: Value,
    options: &WriteOptions,
    owner: &Ownership,
) -> Result<Written> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut draft = object.clone();
        metadata::generate_name(call, &mut draft);
        match create_once(call, draft, true, options, owner).await {
            Err(status) if attempts < GENERATED_NAMES && status.reason == "AlreadyExists" => {}
            outcome => return outcome,
        }
    }
}

async fn create_once(
    call: &mut Call,
    mut draft: Value,
    generated: bool,
    options: &WriteOptions,
    owner: &Ownership,
) -> Result<Written> {
    let resource = Arc::clone(&call.resource);
    let strategy = strategy::of(&resource);
    metadata::check_namespace(call, &resource, object::name(&draft))?;
    strategy::drop_status(&resource, &mut draft);
    default(&strategy, call, &mut draft);
    // What the kind's strategy adds from here on is the server's, not the writer's.
    ownership::record(call, None, &mut draft, owner)?;
    (strategy.prepare_create)(call, &mut draft)?;
    if strategy.has_generation {
        object::set_meta(&mut draft, "generation", 1);
    }
    let mut request = admit::request(call, Operation::Create, options);
    if let Some(request) = &mut request {
        // A name that the server makes up comes after everything that may still change the object.
        let name = object::name(&draft).to_owned();
        let generated = generated && !name.is_empty();
        if generated {
            object::remove_meta(&mut draft, "name");
        } else {
            admit::name(request, &name);
        }
        admit::mutate(call, request, &strategy, &mut draft).await?;
        if generated && object::name(&draft).is_empty() {
            object::set_meta(&mut draft, "name", name);
        }
        admit::name(request, object::name(&draft));
        settle(&resource, &mut draft)?;
        default(&strategy, call, &mut draft);
    }
    let name = object::name(&draft).to_owned();
    let key = ObjectKey::new(call.namespace(), &name);
    let mut errors = validate(call, &draft, None);
    strategy::validate(&strategy, call, &draft, None, &mut errors);
    errors.splice(0..0, metadata::validate(&strategy, &resource, &draft));
    refuse_invalid(&resource, &name, &errors)?;
    metadata::warn_of_finalizers(call, &draft, None);
    (strategy.admit)(call, &draft, None)?;
    if let Some(request) = &mut request {
        admit::validate(call, request, &mut draft).await?;
    }
    check_escalation(call, &draft, None)?;
    (strategy.allocate)(call, &mut draft, None, options.dry_run)?;
    let _charged = quota::charge(call, &draft, None, options.dry_run).await?;
    let taken = || Status::already_exists(&resource.gvr(), &name);
    if options.dry_run {
        if storage::current(&call.server, &resource, &key).await?.is_some() {
            return Err(taken().into());
        }
        let stored = conversion::stored(&call.server, &resource, draft).await?;
        return Ok(Written { entry: Arc::new(unsaved(key, &stored)), created: true });
    }
    let stored = conversion::stored(&call.server, &resource, draft).await?;
    match storage::commit(&call.server, &resource.collection, &key, None, Intent::Put(&stored)).await {
        Ok(entry) => {
            strategy::after_write(&call.server, &resource, Some(&stored));
            Ok(Written { entry, created: true })
        }
        Err(CommitError::Conflict) => Err(taken().into()),
        Err(CommitError::Failed(status)) => Err(status),
    }
}

/// Refuses roles and bindings that give away more than the caller holds.
fn check_escalation(call: &Call, draft: &Value, old: Option<&Value>) -> Result<()> {
    if call.resource.group() != auth::rbac::GROUP {
        return Ok(());
    }
    auth::escalation::check(&call.server, &call.user, call.resource.plural(), draft, old)
}

/// Holds an object against its schema; warns of what may stay as it was.
fn validate(call: &mut Call, draft: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let verdict = call.resource.schema.validate(draft, old);
    for warning in verdict.warnings {
        call.warn(warning);
    }
    let mut errors = verdict.errors;
    errors.extend(scale::check(&call.resource, draft));
    errors
}

/// Refuses an object with errors. What several rules say of one field is told once, in the fuller words.
fn refuse_invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Result<()> {
    let told_again = |error: &FieldError, at: usize| {
        let fuller = |other: &FieldError| match error.problem {
            Problem::Required => error.detail.is_empty() || error.detail == other.detail,
            Problem::NotSupported => true,
            _ => error.detail == other.detail && error.value == other.value,
        };
        let same = |other: &FieldError| other.path == error.path && other.problem == error.problem;
        errors[at + 1..].iter().any(|other| same(other) && fuller(other))
    };
    let told: Vec<FieldError> = errors
        .iter()
        .enumerate()
        .filter(|(at, error)| !told_again(error, *at))
        .map(|(_, error)| error.clone())
        .collect();
    if told.is_empty() { Ok(()) } else { Err(Status::invalid(&resource.gvk, name, &told).into()) }
}

/// Sets what the client left out.
fn default(strategy: &Strategy, call: &Call, draft: &mut Value) {
    call.resource.schema.default(draft);
    (strategy.default)(draft);
}

/// An entry for an answer about something that was not stored.
fn unsaved(key: ObjectKey, object: &Value) -> Entry {
    let bytes = stored_bytes(object).into();
    Entry { key, revision: 0, bytes, facets: Arc::new(Facets::default()), written: None }
}

/// Brings an object that admission changed into the form of its kind.
pub(crate) fn settle(resource: &Resource, object: &mut Value) -> Result<()> {
    resource.schema.settle(object).map(drop).map_err(|why| cannot_handle(&resource.gvk, &why))
}

/// Changes an object: computes the new state from the present one, again if that changed meanwhile.
///
/// `change` gets the present object in the request's version and returns the wanted one. A resourceVersion in the
/// wanted object must be the present one.
///
/// # Errors
/// Refuses what `change`, validation or admission refuse, and stale resourceVersions.
pub(crate) async fn update(
    call: &mut Call,
    key: &ObjectKey,
    options: &WriteOptions,
    owner: &Ownership,
    mut change: impl FnMut(&mut Call, &Value) -> Result<Value>,
) -> Result<Written> {
    for _ in 0..ATTEMPTS {
        let resource = Arc::clone(&call.resource);
        let found = storage::current(&call.server, &resource, key).await?;
        let entry = found.ok_or_else(|| call.not_found(&key.name))?;
        let old = present::current(&call.server, &resource, &entry).await?;
        let wanted = change(call, &old)?;
        let pinned = object::resource_version(&wanted);
        if !pinned.is_empty() && pinned != "0" && pinned != object::resource_version(&old) {
            return Err(Status::stale(&resource.gvr(), &key.name).into());
        }
        match update_once(call, &entry, &old, wanted, options, owner).await {
            Ok(Some(entry)) => {
                let entry = conversion::shown(&call.server, &resource, &entry).await?;
                return Ok(Written { entry, created: false });
            }
            Ok(None) => {}
            Err(status) => return Err(status),
        }
    }
    Err(Status::stale(&call.resource.gvr(), &key.name).into())
}

/// One attempt; nothing when the object changed meanwhile.
async fn update_once(
    call: &mut Call,
    entry: &Arc<Entry>,
    old: &Value,
    wanted: Value,
    options: &WriteOptions,
    owner: &Ownership,
) -> Result<Option<Arc<Entry>>> {
    let resource = Arc::clone(&call.resource);
    let strategy = strategy::of(&resource);
    let mut draft = wanted;
    let mut errors = metadata::before_update(call, &mut draft, old)?;
    default(&strategy, call, &mut draft);
    strategy::keep_unwritable(call, &mut draft, old);
    (strategy.prepare_update)(call, &mut draft, old)?;
    metadata::bump_generation(&strategy, call, &mut draft, old);
    ownership::record(call, Some(old), &mut draft, owner)?;
    let mut request = admit::request(call, Operation::Update, options);
    if let Some(request) = &mut request {
        admit::name(request, object::name(old));
        request.old_object = old.clone();
        admit::mutate(call, request, &strategy, &mut draft).await?;
        settle(&resource, &mut draft)?;
        default(&strategy, call, &mut draft);
        metadata::bump_generation(&strategy, call, &mut draft, old);
    }
    let name = object::name(old).to_owned();
    errors.extend(metadata::validate(&strategy, &resource, &draft));
    let mut judged = validate(call, &draft, Some(old));
    strategy::validate(&strategy, call, &draft, Some(old), &mut judged);
    errors.extend(judged);
    refuse_invalid(&resource, &name, &errors)?;
    metadata::warn_of_finalizers(call, &draft, Some(old));
    (strategy.admit)(call, &draft, Some(old))?;
    if let Some(request) = &mut request {
        admit::validate(call, request, &mut draft).await?;
    }
    check_escalation(call, &draft, Some(old))?;
    (strategy.allocate)(call, &mut draft, Some(old), options.dry_run)?;
    if !ownership::changed(old, &mut draft) {
        return Ok(Some(Arc::clone(entry)));
    }
    let _charged = quota::charge(call, &draft, Some(old), options.dry_run).await?;
    let stored = conversion::stored(&call.server, &resource, draft).await?;
    if options.dry_run {
        let mut shown = stored;
        object::set_meta(&mut shown, "resourceVersion", entry.revision.to_string());
        return Ok(Some(Arc::new(Entry { revision: entry.revision, ..shown_entry(entry, &shown) })));
    }
    let finished = object::is_being_deleted(&stored) && metadata::is_releasable(&resource, &stored);
    let intent_entry;
    let intent = if finished {
        intent_entry =
            Entry::new(entry.key.clone(), entry.revision, &stored_bytes(&stored), Arc::clone(&entry.facets));
        Intent::Remove(&intent_entry)
    } else {
        Intent::Put(&stored)
    };
    match storage::commit(&call.server, &resource.collection, &entry.key, Some(entry.revision), intent).await
    {
        Ok(written) => {
            strategy::after_write(&call.server, &resource, (!finished).then_some(&stored));
            if finished {
                strategy::after_delete(&call.server, &resource, &stored);
            }
            Ok(Some(written))
        }
        Err(CommitError::Conflict) => Ok(None),
        Err(CommitError::Failed(status)) => Err(status),
    }
}

fn shown_entry(entry: &Entry, object: &Value) -> Entry {
    let bytes = serde_json::to_vec(object).unwrap_or_default().into();
    Entry { bytes, written: None, ..entry.clone() }
}

/// The refusal of a field, for callers that have just one.
pub(crate) fn refuse_field(
    gvk: &Gvk,
    name: &str,
    path: &str,
    value: impl Into<Value>,
    detail: &str,
) -> Box<Status> {
    Status::invalid(gvk, name, &[FieldError::invalid(Path::new(path), value, detail)]).into()
}
