//! Stories of managers who apply to an object and update it: an apply says what becomes of the object, takes from nobody
//! what it was not told to take, leaves nothing of what its manager gave up, and the second time changes nothing.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use grammar::{Plan, sample};
use libfuzzer_sys::fuzz_target;
use machinery::apply::{ApplyError, FieldSet, Scope, Writer, apply, keep_times_if_unchanged, update};
use machinery::object;
use serde_json::{Map, Value, json};

const MANAGERS: [&str; 4] = ["ann", "ben", "cid", "dan"];

#[derive(Debug, Arbitrary)]
struct Input {
    /// Maps and lists may be stated empty. Those are owned but not stored, as they are in the reference, so that less
    /// can be said of what becomes of them.
    empties: bool,
    acts: Vec<Act>,
    last: Plan,
}

#[derive(Debug, Arbitrary)]
enum Act {
    Apply { manager: u8, stated: Plan, force: bool },
    Update { manager: u8, fields: Plan },
    Status { manager: u8, fields: Plan },
}

struct Story {
    object: Value,
    minute: u32,
}

impl Story {
    fn now(&mut self) -> String {
        self.minute += 1;
        format!("2024-01-01T{:02}:{:02}:00Z", self.minute / 60 % 24, self.minute % 60)
    }

    /// What the server does with an object before it is stored.
    fn settle(&mut self, mut result: Value) {
        sample::plan().default(&mut result);
        sample::plan().canonicalize(&mut result);
        object::set_meta(&mut result, "uid", "u");
        keep_times_if_unchanged(&self.object, &mut result);
        self.object = result;
    }

    fn apply(&mut self, manager: &str, stated: &Value, force: bool) -> Result<(), ApplyError> {
        let now = self.now();
        let mut stated = stated.clone();
        object::set_at(&mut stated, &["apiVersion"], "v1".into());
        object::set_at(&mut stated, &["metadata", "name"], "x".into());
        let reset = FieldSet::of(&[&["status"]]);
        let scope = Scope { schema: sample::plan(), api_version: "v1", subresource: "", reset: &reset };
        let result = apply(&scope, &self.object, &stated, &Writer { manager, now: &now }, force)?;
        self.settle(result);
        Ok(())
    }

    fn update(&mut self, manager: &str, subresource: &str, change: impl FnOnce(&mut Value)) {
        let now = self.now();
        let mut new = match &self.object {
            Value::Null => json!({"apiVersion": "v1", "metadata": {"name": "x"}}),
            live => live.clone(),
        };
        change(&mut new);
        sample::plan().default(&mut new);
        sample::plan().canonicalize(&mut new);
        let own = if subresource.is_empty() { vec![&["status"][..]] } else { Vec::new() };
        let reset = FieldSet::of(&own);
        let scope = Scope { schema: sample::plan(), api_version: "v1", subresource, reset: &reset };
        update(&scope, &self.object, &mut new, &Writer { manager, now: &now });
        self.settle(new);
    }

    /// The owners as they are written: manager, operation and fields.
    fn owners(&self) -> Vec<(&str, &str, &Value)> {
        let entries = object::at(&self.object, &["metadata", "managedFields"]).and_then(Value::as_array);
        let text = |entry, name| object::str_at(entry, &[name]);
        entries
            .into_iter()
            .flatten()
            .map(|e| (text(e, "manager"), text(e, "operation"), &e["fieldsV1"]))
            .collect()
    }

    /// What `manager` owns by applying.
    fn applied(&self, manager: &str) -> Value {
        let found =
            self.owners().into_iter().find(|(name, operation, _)| *name == manager && *operation == "Apply");
        found.map_or(Value::Null, |(.., fields)| fields.clone())
    }

    fn check(&self, strict: bool) {
        for (manager, _, fields) in self.owners() {
            let read = FieldSet::parse(fields).expect("what is written reads");
            assert_eq!(&read.encode(), fields, "the fields of {manager} are not read as they are written");
            if strict {
                present(&self.object, fields, manager, &self.object);
            }
        }
    }
}

/// Maps and lists whose parts have owners of their own.
const PARTED: [&str; 8] = ["f:choice", "f:c", "f:map", "f:steps", "f:env", "f:ports", "f:marks", "f:status"];

/// Whether the step is to a map or a list of which no plain value is owned. Whoever made it owns it still when others
/// took all that was in it and gave that up; what is then empty is owned but not stored, as it is in the reference.
fn may_be_emptied(step: &str, below: &Value) -> bool {
    let mut below = below.as_object().into_iter().flatten();
    PARTED.contains(&step) && below.all(|(step, below)| step == "." || may_be_emptied(step, below))
}

/// Checks that owned fields are there.
fn present(value: &Value, fields: &Value, manager: &str, whole: &Value) {
    for (step, below) in fields.as_object().into_iter().flatten().filter(|(step, _)| *step != ".") {
        let (kind, rest) = step.split_once(':').expect("a step has a kind");
        let items = value.as_array().into_iter().flatten();
        let found = match kind {
            "f" => value.get(rest),
            "v" => {
                let wanted: Value = serde_json::from_str(rest).expect("an item is a value");
                items.into_iter().find(|item| **item == wanted)
            }
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).expect("keys are an object");
                items.into_iter().find(|item| keys.iter().all(|(key, value)| item.get(key) == Some(value)))
            }
            _ => panic!("{manager} owns an index: {step}"),
        };
        if found.is_none() && may_be_emptied(step, below) {
            continue;
        }
        let found = found.unwrap_or_else(|| panic!("{manager} owns {step}, which is not there: {whole}"));
        present(found, below, manager, whole);
    }
}

/// Whether every plain value in `stated` is in `object`; elements of a list are looked for anywhere in it.
fn holds(object: &Value, stated: &Value) -> bool {
    match (object, stated) {
        (Value::Object(have), Value::Object(want)) => want
            .iter()
            .all(|(name, value)| is_empty(value) || have.get(name).is_some_and(|have| holds(have, value))),
        (Value::Array(have), Value::Array(want)) => {
            want.iter().all(|want| have.iter().any(|have| holds(have, want)))
        }
        (have, want) => have == want,
    }
}

/// Whether nothing is left of a value when empty maps and lists are left out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn without_empties(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, without_empties(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => items.into_iter().map(without_empties).collect(),
        plain => plain,
    }
}

/// Plain fields that `before` has and that nobody owns now must be gone.
fn check_given_up(before: &Value, story: &Story) {
    let owned = |path: &[&str]| story.owners().iter().any(|(.., fields)| object::at(fields, path).is_some());
    if before.get("f:name").is_some() && !owned(&["f:name"]) {
        assert!(story.object.get("name").is_none(), "given up, but there: name in {}", story.object);
    }
    for step in before["f:map"].as_object().into_iter().flatten().map(|(step, _)| step.as_str()) {
        let key = step.trim_start_matches("f:");
        if step != "." && !owned(&["f:map", step]) && !owned_whole(story, "f:map") {
            let there = object::at(&story.object, &["map", key]);
            assert!(there.is_none(), "given up, but there: map.{key} in {}", story.object);
        }
    }
}

/// Whether somebody owns a field without anything below it.
fn owned_whole(story: &Story, step: &str) -> bool {
    story.owners().iter().any(|(.., fields)| fields[step].as_object().is_some_and(Map::is_empty))
}

fuzz_target!(|input: Input| {
    let strict = !input.empties;
    let stated = |plan: Plan| if strict { without_empties(plan.0) } else { plan.0 };
    let name = |manager: u8| MANAGERS[usize::from(manager) % MANAGERS.len()];
    let mut story = Story { object: Value::Null, minute: 0 };
    let mut wants: BTreeMap<&str, Value> = BTreeMap::new();
    for act in input.acts.into_iter().take(12) {
        match act {
            Act::Apply { manager, stated: plan, force } => {
                let (manager, stated) = (name(manager), stated(plan));
                let before = story.applied(manager);
                if story.apply(manager, &stated, force).is_err() {
                    assert!(!force, "a forced apply has no conflicts");
                    continue;
                }
                if force {
                    wants.clear();
                }
                wants.insert(manager, stated);
                for (manager, want) in &wants {
                    assert!(
                        holds(&story.object, want),
                        "{} lacks what {manager} stated: {want}",
                        story.object
                    );
                }
                if strict {
                    check_given_up(&before, &story);
                }
            }
            Act::Update { manager, fields } => {
                wants.clear();
                let fields = stated(fields);
                story.update(name(manager), "", |object| {
                    for (name, value) in fields.as_object().into_iter().flatten() {
                        object[name] = value.clone();
                    }
                });
            }
            Act::Status { manager, fields } => {
                let fields = stated(fields);
                story.update(name(manager), "status", |object| object["status"]["c"] = fields);
            }
        }
        story.check(strict);
    }
    let unchanged = story.object.clone();
    if unchanged.is_object() {
        story.update("eve", "", |_| {});
        assert_eq!(story.object, unchanged, "an update without a change changed something");
    }
    let last = stated(input.last);
    story.apply("ann", &last, true).expect("forced");
    let once = story.object.clone();
    // A map that nobody stores is stated anew each time, also before others who own it empty.
    story.apply("ann", &last, !strict).expect("nobody has a conflict with oneself");
    if strict {
        assert_eq!(story.object, once, "applying {last} twice is not applying it once");
    }
});
