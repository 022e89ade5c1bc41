//! The two operations: update and apply.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::compare::compare;
use super::extract::{check, fields_of};
use super::last_applied;
use super::managed::{MANAGER_BEFORE_FIRST_APPLY, Managed, Manager, Operation, Owned};
use super::merge::merge;
use super::remove::remove;
use super::set::FieldSet;
use super::{ApplyError, Conflict};
use crate::object;
use crate::schema::Schema;

/// What is written to: the kind, and the part of it that this endpoint may write.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The kind's schema at the version of the request.
    pub schema: &'a Schema,
    /// For example `apps/v1`.
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Fields that this endpoint resets whatever the client sends (`status` on the object itself); nobody comes to
    /// own them through it.
    pub reset: &'a FieldSet,
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager's name.
    pub manager: &'a str,
    /// The time, as RFC 3339 to the second.
    pub now: &'a str,
}

impl Writer<'_> {
    fn identity(&self, scope: &Scope<'_>, operation: Operation) -> Manager {
        Manager {
            name: self.manager.to_owned(),
            operation,
            api_version: if operation == Operation::Apply {
                String::new()
            } else {
                scope.api_version.to_owned()
            },
            subresource: scope.subresource.to_owned(),
        }
    }
}

/// Fields that the system sets and nobody owns.
static SYSTEM_FIELDS: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

fn without_managed(object: &Value) -> Value {
    let mut bare = object.clone();
    object::remove_meta(&mut bare, "managedFields");
    bare
}

/// Gives `new` its managed fields as they are after `writer` replaced `live` by it. `live` is null on create.
///
/// A client may write `managedFields` itself through the object's own endpoint: entries that it sends replace the
/// live ones, and a single empty entry forgets all.
pub fn update(scope: &Scope<'_>, live: &Value, new: &mut Value, writer: &Writer<'_>) {
    let mut managed = if !scope.subresource.is_empty() {
        Managed::read(live)
    } else if Managed::is_reset(new) {
        Managed::default()
    } else {
        match Managed::read(new) {
            sent if sent.0.is_empty() => Managed::read(live),
            sent => sent,
        }
    };
    object::remove_meta(new, "managedFields");
    // Who forgot all managers does not want them tracked again by the next update.
    if !managed.0.is_empty() || object::uid(live).is_empty() {
        track_update(scope, live, new, &mut managed, writer);
        managed.cap();
    }
    managed.write(new);
}

fn track_update(scope: &Scope<'_>, live: &Value, new: &Value, managed: &mut Managed, writer: &Writer<'_>) {
    let root = scope.schema.root();
    let nothing = scope.schema.zero();
    let live = if live.is_object() { live } else { &nothing };
    let changes = compare(root, live, new).outside(scope.reset);
    // The writer's own entry is treated like everybody's: it loses what it changes, and gets it back below.
    let touched = changes.modified.union(&changes.added);
    yield_fields(managed, &touched, &changes.removed, None);
    let taken = touched.difference(&SYSTEM_FIELDS);
    if taken.is_empty() {
        return;
    }
    let owned = managed.0.entry(writer.identity(scope, Operation::Update)).or_insert_with(|| Owned {
        api_version: scope.api_version.to_owned(),
        set: FieldSet::default(),
        time: None,
    });
    owned.set = owned.set.union(&taken);
    owned.time = Some(writer.now.to_owned());
}

/// Takes fields that were touched or removed from everybody but `except`; managers that own nothing any more go.
fn yield_fields(managed: &mut Managed, touched: &FieldSet, removed: &FieldSet, except: Option<&Manager>) {
    for (manager, owned) in &mut managed.0 {
        if Some(manager) != except {
            owned.set = owned.set.difference(touched).difference(removed);
        }
    }
    managed.0.retain(|_, owned| !owned.set.is_empty());
}

/// Returns the live object as it is after `writer` applied `stated`, with its managed fields. `live` is null when
/// there is no such object yet.
///
/// # Errors
/// Conflicts unless `force`; and whatever is wrong with the stated object.
pub fn apply(
    scope: &Scope<'_>,
    live: &Value,
    stated: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    if object::at(stated, &["metadata", "managedFields"]).is_some_and(|fields| !fields.is_null()) {
        return Err(ApplyError::HasManagedFields);
    }
    check(scope.schema.root(), stated)?;
    let mut managed = Managed::read(live);
    let bare = if live.is_object() { without_managed(live) } else { Value::Object(Map::new()) };
    if managed.0.is_empty() && live.is_object() {
        let before = Writer { manager: MANAGER_BEFORE_FIRST_APPLY, now: writer.now };
        track_update(scope, &Value::Null, &bare, &mut managed, &before);
        managed.cap();
    }
    let mut result = match merge_and_own(scope, &bare, stated, managed.clone(), writer, force) {
        Err(Refused::Conflicts(conflicts))
            if last_applied::covers(scope, &bare, &conflicts, writer.manager) =>
        {
            merge_and_own(scope, &bare, stated, managed, writer, true)
        }
        other => other,
    }
    .map_err(|Refused::Conflicts(conflicts)| ApplyError::Conflicts(shown(&conflicts)))?;
    last_applied::renew(&mut result, stated, writer.manager);
    Ok(result)
}

pub(super) enum Refused {
    Conflicts(BTreeMap<Manager, FieldSet>),
}

fn shown(conflicts: &BTreeMap<Manager, FieldSet>) -> Vec<Conflict> {
    let one = |(manager, set): (&Manager, &FieldSet)| {
        let manager = manager.shown();
        set.paths()
            .into_iter()
            .map(move |path| Conflict { manager: manager.clone(), path })
            .collect::<Vec<_>>()
    };
    conflicts.iter().flat_map(one).collect()
}

fn merge_and_own(
    scope: &Scope<'_>,
    live: &Value,
    stated: &Value,
    mut managed: Managed,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Refused> {
    let root = scope.schema.root();
    let me = writer.identity(scope, Operation::Apply);
    let previous = managed.0.get(&me).cloned();
    let set = fields_of(root, stated).outside(scope.reset);
    managed.0.insert(
        me.clone(),
        Owned {
            api_version: scope.api_version.to_owned(),
            set,
            time: previous.as_ref().and_then(|owned| owned.time.clone()),
        },
    );
    let merged = merge(root, live, stated);
    let merged = match previous {
        Some(previous) if !previous.set.is_empty() => give_up(scope, &merged, &managed, &previous.set),
        _ => merged,
    };
    let changes = compare(root, live, &merged).outside(scope.reset);
    let touched = changes.modified.union(&changes.added);
    if !force {
        let mut conflicts = BTreeMap::new();
        for (manager, owned) in managed.0.iter().filter(|(manager, _)| **manager != me) {
            let both = owned.set.intersection(&touched);
            if !both.is_empty() {
                conflicts.insert(manager.clone(), both);
            }
        }
        if !conflicts.is_empty() {
            return Err(Refused::Conflicts(conflicts));
        }
    }
    yield_fields(&mut managed, &touched, &changes.removed, Some(&me));
    if let Some(owned) = managed.0.get_mut(&me) {
        owned.set = owned.set.difference(&SYSTEM_FIELDS);
        if !changes.is_same() {
            owned.time = Some(writer.now.to_owned());
        }
    }
    let mut result = if changes.is_same() { live.clone() } else { merged };
    managed.write(&mut result);
    Ok(result)
}

/// Removes what the manager stated last time and states no longer, unless others own it or it was never the
/// manager's to remove.
fn give_up(scope: &Scope<'_>, merged: &Value, managed: &Managed, last: &FieldSet) -> Value {
    let root = scope.schema.root();
    let structure = |set: &FieldSet| set.with_structure(Some(root));
    let last = structure(last);
    let pruned = remove(root, merged, &last);
    let everybody = managed.0.values().fold(FieldSet::default(), |all, owned| all.union(&owned.set));
    let whole = structure(&fields_of(root, merged));
    // What is owned now stays, although it was stated before as well.
    let keep = structure(&fields_of(root, &pruned)).union(&structure(&everybody));
    let pruned = remove(root, merged, &whole.difference(&keep));
    // What goes must have been the manager's: fields that nobody owns stay where they are.
    let gone = whole.difference(&structure(&fields_of(root, &pruned))).intersection(&last);
    remove(root, merged, &gone)
}

/// Puts the live object's times back when `new` is the same but for them, so that a write without a change can be
/// seen to be none.
pub fn keep_times_if_unchanged(live: &Value, new: &mut Value) {
    let unchanged = || {
        // The server counts versions; a client that sends an older count has changed nothing by it.
        object::same_but(live, new, &["managedFields", "resourceVersion"])
            && Managed::read(live).timeless() == Managed::read(new).timeless()
    };
    if live.is_object() && unchanged() {
        match object::at(live, &["metadata", "managedFields"]) {
            Some(fields) => object::set_meta(new, "managedFields", fields.clone()),
            None => {
                object::remove_meta(new, "managedFields");
            }
        }
    }
}
