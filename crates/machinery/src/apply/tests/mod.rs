//! Tests of ownership: an object, and managers that write it in turns.

mod properties;
mod stories;

use serde_json::{Value, json};

use super::{ApplyError, FieldSet, Scope, Writer, apply, keep_times_if_unchanged, update};
use crate::object;
use crate::schema::Schema;
use crate::schema::tests::thing;

/// An object, and writers that take turns.
struct Story {
    schema: Schema,
    reset: FieldSet,
    object: Value,
    minute: u32,
}

impl Story {
    fn new() -> Self {
        Self { schema: thing(), reset: FieldSet::of(&[&["status"]]), object: Value::Null, minute: 0 }
    }

    fn now(&mut self) -> String {
        self.minute += 1;
        format!("2024-01-01T00:{:02}:00Z", self.minute)
    }

    /// What the server does with an applied object before it is stored.
    fn settle(&mut self, mut result: Value) {
        self.schema.default(&mut result);
        self.schema.canonicalize(&mut result);
        object::set_meta(&mut result, "uid", "u");
        keep_times_if_unchanged(&self.object, &mut result);
        self.object = result;
    }

    fn apply(&mut self, manager: &str, fields: Value) -> Result<(), ApplyError> {
        self.apply_with(manager, fields, false)
    }

    fn force(&mut self, manager: &str, fields: Value) {
        self.apply_with(manager, fields, true).expect("forced");
    }

    fn apply_with(&mut self, manager: &str, mut fields: Value, force: bool) -> Result<(), ApplyError> {
        let now = self.now();
        object::set_at(&mut fields, &["apiVersion"], "v1".into());
        object::set_at(&mut fields, &["metadata", "name"], "x".into());
        let scope = Scope { schema: &self.schema, api_version: "v1", subresource: "", reset: &self.reset };
        let result = apply(&scope, &self.object, &fields, &Writer { manager, now: &now }, force)?;
        self.settle(result);
        Ok(())
    }

    fn update(&mut self, manager: &str, subresource: &str, change: impl FnOnce(&mut Value)) {
        let now = self.now();
        let mut new = if self.object.is_null() {
            json!({"apiVersion": "v1", "metadata": {"name": "x"}})
        } else {
            self.object.clone()
        };
        change(&mut new);
        self.schema.default(&mut new);
        self.schema.canonicalize(&mut new);
        let reset = if subresource.is_empty() { self.reset.clone() } else { FieldSet::default() };
        let scope = Scope { schema: &self.schema, api_version: "v1", subresource, reset: &reset };
        update(&scope, &self.object, &mut new, &Writer { manager, now: &now });
        self.settle(new);
    }

    /// What each manager owns, by name.
    fn owners(&self) -> Value {
        let entries = object::at(&self.object, &["metadata", "managedFields"]).and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        entries.map(|e| (object::str_at(e, &["manager"]).to_owned(), e["fieldsV1"].clone())).collect()
    }

    fn time_of(&self, manager: &str) -> &str {
        let entries = object::at(&self.object, &["metadata", "managedFields"]).and_then(Value::as_array);
        let found = entries.into_iter().flatten().find(|e| object::str_at(e, &["manager"]) == manager);
        found.map_or("", |e| object::str_at(e, &["time"]))
    }
}
