//! Who set which field: keeps `metadata.managedFields` through creates, updates, patches and applies.

use std::sync::OnceLock;

use machinery::apply::{self, FieldSet, Scope, Writer};
use machinery::object;
use serde_json::Value;

use super::Call;
use crate::Result;

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    manager: String,
    /// The time of the write, as objects carry it.
    time: String,
    /// The object that is written says already who owns what, because an apply computed it.
    settled: bool,
}

impl Ownership {
    /// A create, an update, or a patch that is not an apply.
    pub(crate) fn update(call: &Call) -> Self {
        Self { manager: call.manager(), time: super::metadata::timestamp(call), settled: false }
    }

    /// An apply.
    pub(crate) fn apply(call: &Call) -> Self {
        Self { settled: true, ..Self::update(call) }
    }

    /// The writer, for the apply engine.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer { manager: &self.manager, now: &self.time }
    }
}

/// Calls `f` with what this request writes to.
pub(crate) fn with_scope<T>(call: &Call, f: impl FnOnce(&Scope<'_>) -> T) -> T {
    let api_version = call.resource.api_version();
    f(&Scope {
        schema: call.resource.schema.schema(),
        api_version: &api_version,
        subresource: call.sub(),
        reset: reset(call),
    })
}

/// Fields that the endpoint of this request puts back, whatever the client sends.
fn reset(call: &Call) -> &'static FieldSet {
    static NONE: OnceLock<FieldSet> = OnceLock::new();
    static STATUS: OnceLock<FieldSet> = OnceLock::new();
    static SPEC: OnceLock<FieldSet> = OnceLock::new();
    static ALL_BUT_STATUS: OnceLock<FieldSet> = OnceLock::new();
    match call.sub() {
        "" if call.resource.has_status() => STATUS.get_or_init(|| FieldSet::of(&[&["status"]])),
        "status" if call.resource.custom => {
            ALL_BUT_STATUS.get_or_init(|| FieldSet::of(&[&["spec"], &["metadata"]]))
        }
        "status" => SPEC.get_or_init(|| FieldSet::of(&[&["spec"]])),
        _ => NONE.get_or_init(FieldSet::default),
    }
}

/// Writes into `draft` who owns its fields now.
#[allow(clippy::unnecessary_wraps, reason = "a refusal is possible where managers send their own record")]
pub(crate) fn record(call: &Call, old: Option<&Value>, draft: &mut Value, owner: &Ownership) -> Result<()> {
    if owner.settled {
        return Ok(());
    }
    let live = old.unwrap_or(&Value::Null);
    with_scope(call, |scope| apply::update(scope, live, draft, &owner.writer()));
    Ok(())
}

/// Returns whether a write changes anything besides times of ownership. If not, the old times are put back.
pub(crate) fn changed(old: &Value, draft: &mut Value) -> bool {
    apply::keep_times_if_unchanged(old, draft);
    object::remove_meta(draft, "resourceVersion");
    !object::same_but(old, draft, &["resourceVersion"])
}
