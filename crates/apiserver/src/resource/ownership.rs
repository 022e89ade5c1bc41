//! Who set which field: keeps `metadata.managedFields` through creates, updates, patches and applies.

use machinery::apply::{self, FieldSet, Scope, Writer};
use machinery::object;
use serde_json::Value;

use super::Call;
use crate::Result;

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    /// Field manager.
    pub(crate) manager: String,
    /// The time of the write, as objects carry it.
    pub(crate) time: String,
    /// The draft was made by an apply, which has settled who owns what.
    applied: bool,
}

impl Ownership {
    /// A create, an update, or a patch that is not an apply.
    pub(crate) fn update(call: &Call) -> Self {
        Self { manager: call.manager(), time: super::metadata::timestamp(call), applied: false }
    }

    /// An apply.
    pub(crate) fn apply(call: &Call) -> Self {
        Self { applied: true, ..Self::update(call) }
    }
}

/// Writes into `draft` who owns its fields now.
pub(crate) fn record(call: &Call, old: Option<&Value>, draft: &mut Value, owner: &Ownership) -> Result<()> {
    if owner.applied {
        return Ok(());
    }
    let tracked = within(call, |scope| {
        let writer = Writer { manager: &owner.manager, now: &owner.time };
        apply::update(scope, old.unwrap_or(&Value::Null), draft, &writer)
    });
    *draft = tracked;
    Ok(())
}

/// Returns the object after an apply of `stated` to `live` (null when there is none), owners included.
///
/// # Errors
/// Conflicts with other managers, and objects that do not fit the schema.
pub(crate) fn merge(call: &Call, live: &Value, stated: &Value, owner: &Ownership, force: bool) -> Result<Value> {
    let merged = within(call, |scope| {
        let writer = Writer { manager: &owner.manager, now: &owner.time };
        apply::apply(scope, live, stated, &writer, force)
    });
    merged.map_err(|error| Box::new(error.status()))
}

/// Calls `work` with what the request writes to.
fn within<T>(call: &Call, work: impl FnOnce(&Scope<'_>) -> T) -> T {
    let resource = &call.resource;
    let reset = match call.sub() {
        "" if resource.has_status() => FieldSet::of(&[&["status"]]),
        "status" if resource.custom => FieldSet::of(&[&["metadata"], &["spec"]]),
        "status" => FieldSet::of(&[&["spec"]]),
        _ => FieldSet::default(),
    };
    work(&Scope {
        schema: resource.schema.schema(),
        api_version: &resource.gvk.api_version(),
        subresource: call.sub(),
        reset: &reset,
    })
}

/// Returns whether a write changes anything besides times of ownership. If not, the old times are kept.
pub(crate) fn changed(old: &Value, draft: &mut Value) -> bool {
    object::remove_meta(draft, "resourceVersion");
    apply::keep_times_if_unchanged(old, draft);
    let mut before = old.clone();
    object::remove_meta(&mut before, "resourceVersion");
    before != *draft
}
