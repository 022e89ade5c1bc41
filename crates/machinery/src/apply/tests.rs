//! Tests of ownership: stories of several managers, and properties over random ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ApplyError, FieldSet, Scope, Writer, apply, keep_times_if_unchanged, update};
use crate::object;
use crate::schema::Schema;
use crate::schema::tests::{library, thing};

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
        let result = update(&scope, &self.object, &new, &Writer { manager, now: &now });
        self.settle(result);
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

#[test]
fn conflicts_name_manager_and_field_and_force_takes_over() {
    let mut story = Story::new();
    story.apply("ann", json!({"data": {"a": "1", "b": "1"}})).expect("first");
    let refused = story.apply("ben", json!({"data": {"a": "2", "b": "2", "c": "2"}})).expect_err("conflicts");
    assert_eq!(
        refused.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"ann\":\n- .data.a\n- .data.b"
    );
    let status = refused.status();
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.details.expect("details").causes[1].field, ".data.b");
    story.force("ben", json!({"data": {"a": "2", "c": "2"}}));
    assert_eq!(story.object["data"], json!({"a": "2", "b": "1", "c": "2"}));
    assert_eq!(
        story.owners(),
        json!({"ann": {"f:data": {"f:b": {}}}, "ben": {"f:data": {"f:a": {}, "f:c": {}}}})
    );
}

#[test]
fn a_value_stays_while_one_owner_wants_it() {
    let mut story = Story::new();
    story.apply("ann", json!({"data": {"a": "1"}})).expect("ann");
    story.apply("ben", json!({"data": {"a": "1"}})).expect("the same value is no conflict");
    assert_eq!(story.time_of("ben"), "", "nothing changed, so there is no time to tell");
    story.apply("ann", json!({"data": {}})).expect("ann leaves");
    assert_eq!(story.object["data"], json!({"a": "1"}));
    story.apply("ben", json!({})).expect("ben leaves");
    assert_eq!(story.object.get("data"), None);
}

#[test]
fn updates_take_what_they_change_and_removals_take_from_all() {
    let mut story = Story::new();
    story.apply("ann", json!({"data": {"a": "1", "b": "1"}})).expect("ann");
    story.update("ed", "", |object| object["data"]["a"] = json!("2"));
    assert_eq!(story.owners(), json!({"ann": {"f:data": {"f:b": {}}}, "ed": {"f:data": {"f:a": {}}}}));
    let refused = story.apply("ann", json!({"data": {"a": "1", "b": "1"}})).expect_err("ed has it");
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"ed\" using v1: .data.a");
    story.update("ed", "", |object| drop(object::remove_at(object, &["data", "b"])));
    assert_eq!(story.owners(), json!({"ed": {"f:data": {"f:a": {}}}}));
}

#[test]
fn a_create_owns_what_it_sets_but_not_what_is_always_there() {
    let mut story = Story::new();
    story.update("ed", "", |object| {
        object["data"] = json!({"a": "1"});
        object["metadata"]["labels"] = json!({"l": "1"});
        object["status"] = json!({"name": "ready"});
    });
    assert_eq!(
        story.owners(),
        json!({"ed": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}}})
    );
}

#[test]
fn lists_with_keys_are_owned_by_element() {
    let mut story = Story::new();
    story.apply("ann", json!({"ports": [{"port": 1, "name": "one"}, {"port": 2}]})).expect("ann");
    story.apply("ben", json!({"ports": [{"port": 3}, {"port": 1, "target": "t"}]})).expect("ben");
    assert_eq!(
        story.object["ports"],
        json!([
            {"port": 3, "protocol": "TCP"},
            {"port": 1, "name": "one", "protocol": "TCP", "target": "t"},
            {"port": 2, "protocol": "TCP"},
        ])
    );
    assert_eq!(
        story.owners()["ben"],
        json!({"f:ports": {
            "k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:target": {}},
            "k:{\"port\":3,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
        }})
    );
    story.apply("ann", json!({"ports": [{"port": 1}]})).expect("ann gives up a name and an element");
    assert_eq!(
        story.object["ports"],
        json!([{"port": 3, "protocol": "TCP"}, {"port": 1, "protocol": "TCP", "target": "t"}])
    );
    let refused = story.apply("ann", json!({"ports": [{"port": 1, "target": "u"}]})).expect_err("ben's");
    assert!(
        refused.to_string().ends_with(r#"conflict with "ben": .ports[port=1,protocol="TCP"].target"#),
        "{refused}"
    );
}

#[test]
fn sets_and_atomic_values() {
    let mut story = Story::new();
    story
        .apply("ann", json!({"metadata": {"finalizers": ["f/a"]}, "args": ["x"], "selector": {"a": "1"}}))
        .expect("ann");
    story.apply("ben", json!({"metadata": {"finalizers": ["f/b"]}})).expect("sets merge");
    assert_eq!(story.object["metadata"]["finalizers"], json!(["f/a", "f/b"]));
    for stated in [json!({"args": ["y"]}), json!({"selector": {"b": "1"}})] {
        assert!(matches!(story.apply("ben", stated), Err(ApplyError::Conflicts(c)) if c.len() == 1));
    }
    story.force("ben", json!({"selector": {"b": "1"}}));
    assert_eq!(story.object["selector"], json!({"b": "1"}));
    assert_eq!(story.object["metadata"]["finalizers"], json!(["f/a"]), "ben gave up his finalizer");
    story.apply("ann", json!({"args": ["x"]})).expect("ann");
    assert_eq!(story.object["metadata"].get("finalizers"), None);
}

#[test]
fn what_nobody_applied_belongs_to_before_first_apply() {
    let mut story = Story::new();
    story.object = json!({"apiVersion": "v1", "metadata": {"name": "x", "uid": "u"}, "data": {"a": "1"}});
    let refused = story.apply("ann", json!({"data": {"a": "2"}})).expect_err("conflict");
    assert!(refused.to_string().contains("before-first-apply"), "{refused}");
    story.apply("ann", json!({"data": {"a": "1", "b": "1"}})).expect("agrees");
    assert_eq!(story.owners()["before-first-apply"], json!({"f:data": {".": {}, "f:a": {}}}));
}

#[test]
fn managers_can_be_forgotten_and_then_stay_so() {
    let mut story = Story::new();
    story.apply("ann", json!({"data": {"a": "1"}})).expect("ann");
    story.update("ed", "", |object| object["metadata"]["managedFields"] = json!([{}]));
    assert_eq!(story.owners(), json!({}));
    story.update("ed", "", |object| object["data"]["b"] = json!("1"));
    assert_eq!(story.owners(), json!({}));
}

#[test]
fn subresources_have_entries_of_their_own() {
    let mut story = Story::new();
    story.update("ed", "", |object| object["data"] = json!({"a": "1"}));
    story.update("ed", "status", |object| object["status"] = json!({"name": "up"}));
    let entries = story.object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[1]["subresource"], &entries[1]["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {"f:name": {}}}))
    );
}

#[test]
fn a_write_without_a_change_keeps_the_times() {
    let mut story = Story::new();
    story.update("ed", "", |object| object["data"] = json!({"a": "1"}));
    let live = story.object.clone();
    story.update("ed", "", |_| {});
    assert_eq!(story.object, live);
    let mut later = live.clone();
    later["metadata"]["managedFields"][0]["time"] = json!("2025-01-01T00:00:00Z");
    keep_times_if_unchanged(&live, &mut later);
    assert_eq!(later, live);
    later["data"]["a"] = json!("2");
    later["metadata"]["managedFields"][0]["time"] = json!("2025-01-01T00:00:00Z");
    let changed = later.clone();
    keep_times_if_unchanged(&live, &mut later);
    assert_eq!(later, changed);
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client_side() {
    let mut story = Story::new();
    let last = json!({"apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "1"}}).to_string();
    story.update("kubectl-client-side-apply", "", |object| {
        object["data"] = json!({"a": "1"});
        object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    });
    story.apply("other", json!({"data": {"a": "2"}})).expect_err("only kubectl may");
    story.apply("kubectl", json!({"data": {"a": "2"}})).expect("takes over");
    assert_eq!(story.owners()["kubectl"], json!({"f:data": {"f:a": {}}}));
    assert_eq!(
        object::annotation(&story.object, "kubectl.kubernetes.io/last-applied-configuration"),
        Some("{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"metadata\":{\"name\":\"x\"}}\n")
    );
    story.update("ed", "", |object| object["data"]["a"] = json!("3"));
    story.apply("kubectl", json!({"data": {"a": "4"}})).expect_err("ed changed it since");
}

#[test]
fn objects_that_do_not_fit_are_refused() {
    let mut story = Story::new();
    let cases = [
        (json!({"zzz": 1}), ".zzz: field not declared in schema"),
        (json!({"data": 5}), ".data: expected an object"),
        (json!({"ports": [{"port": 1}, {"port": 1}]}), "two elements with the same key"),
        (json!({"metadata": {"managedFields": []}}), "must be nil"),
        (json!({"count": "1"}), ".count: expected a whole number"),
    ];
    for (fields, text) in cases {
        let refused = story.apply("ann", fields.clone()).expect_err("refused");
        assert!(refused.to_string().contains(text), "{fields}: {refused}");
    }
}

#[test]
fn custom_resources_own_their_parts_and_open_maps_by_key() {
    let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"list": {"type": "array", "items": {"type": "string"}}, "n": {"type": "integer"}},
    }}});
    let schema = library().structural(&schema).expect("parses");
    let reset = FieldSet::default();
    let scope = Scope { schema: &schema, api_version: "c/v1", subresource: "", reset: &reset };
    let new = json!({"metadata": {"name": "x"}, "spec": {"list": ["a"], "free": {"x": [1], "y": {"z": 1}}}});
    let made = update(&scope, &Value::Null, &new, &Writer { manager: "ed", now: "2024-01-01T00:00:00Z" });
    assert_eq!(
        made["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {".": {}, "f:free": {".": {}, "f:x": {}, "f:y": {".": {}, "f:z": {}}}, "f:list": {}}})
    );
}

fn stated() -> impl Strategy<Value = Value> {
    // Never an empty map or list: those are owned but not stored, so that stating one again is a change, as it is
    // in the reference.
    let data = prop::option::of(prop::collection::btree_map("[abc]", "[xy]", 1..3));
    let ports = prop::option::of(prop::collection::btree_map(1_i32..4, prop::option::of("[xy]"), 1..3));
    let marks = prop::option::of(prop::collection::btree_set("f/[abc]", 1..3));
    let args = prop::option::of(prop::collection::vec("[xy]", 1..2));
    (data, ports, marks, args).prop_map(|(data, ports, marks, args)| {
        let mut object = json!({});
        if let Some(data) = data {
            object["data"] = json!(data);
        }
        if let Some(ports) = ports {
            let port = |(port, name): (i32, Option<String>)| match name {
                Some(name) => json!({"port": port, "name": name}),
                None => json!({"port": port}),
            };
            object["ports"] = ports.into_iter().map(port).collect();
        }
        if let Some(marks) = marks {
            object["metadata"]["finalizers"] = json!(marks);
        }
        if let Some(args) = args {
            object["args"] = json!(args);
        }
        object
    })
}

/// Whether every plain value in `stated` is in `object`; list elements are looked for anywhere in the list.
fn holds(object: &Value, stated: &Value) -> bool {
    match (object, stated) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(k, v)| is_empty(v) || have.get(k).is_some_and(|h| holds(h, v)))
        }
        (Value::Array(have), Value::Array(want)) => want.iter().all(|w| have.iter().any(|h| holds(h, w))),
        (have, want) => have == want,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

#[derive(Clone, Debug)]
enum Act {
    Apply(&'static str, Value, bool),
    Update(Value),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let manager = prop_oneof![Just("ann"), Just("ben"), Just("cid")];
    let act = prop_oneof![
        3 => (manager, stated(), any::<bool>()).prop_map(|(m, s, f)| Act::Apply(m, s, f)),
        1 => stated().prop_map(Act::Update),
    ];
    prop::collection::vec(act, 1..7)
}

proptest! {
    #[test]
    fn stories_keep_their_promises(acts in acts(), last in stated()) {
        let mut story = Story::new();
        let mut wants: std::collections::BTreeMap<&str, Value> = std::collections::BTreeMap::new();
        for act in acts {
            match act {
                Act::Apply(manager, stated, force) => {
                    if story.apply_with(manager, stated.clone(), force).is_ok() {
                        prop_assert!(holds(&story.object, &stated), "{} lacks {stated}", story.object);
                        if force {
                            wants.clear();
                        }
                        wants.insert(manager, stated);
                        // Without force nobody's values go away.
                        for want in wants.values() {
                            prop_assert!(holds(&story.object, want), "{} lacks {want}", story.object);
                        }
                    }
                }
                Act::Update(fields) => {
                    wants.clear();
                    story.update("ed", "", |object| {
                        for (name, value) in fields.as_object().into_iter().flatten() {
                            if name == "metadata" {
                                object["metadata"]["finalizers"] = value["finalizers"].clone();
                            } else {
                                object[name] = value.clone();
                            }
                        }
                    });
                }
            }
            // What is written about owners can be read back, and owned fields are there.
            for set in story.owners().as_object().into_iter().flatten().map(|(_, set)| FieldSet::parse(set)) {
                prop_assert!(set.is_ok());
            }
        }
        // Applying twice is applying once.
        story.force("ann", last.clone());
        let once = story.object.clone();
        story.apply("ann", last).expect("no conflict with oneself");
        prop_assert_eq!(&story.object, &once);
    }

    #[test]
    fn what_is_applied_to_nothing_comes_out_as_it_went_in(stated in stated()) {
        let (schema, reset) = (thing(), FieldSet::default());
        let scope = Scope { schema: &schema, api_version: "v1", subresource: "", reset: &reset };
        let writer = Writer { manager: "ann", now: "2024-01-01T00:00:00Z" };
        let mut made = apply(&scope, &Value::Null, &stated, &writer, false).expect("fits the schema");
        object::remove_meta(&mut made, "managedFields");
        if stated.get("metadata").is_none() {
            prop_assert_eq!(made.as_object_mut().and_then(|fields| fields.shift_remove("metadata")).unwrap_or(json!({})), json!({}));
        }
        prop_assert_eq!(made, stated);
    }

    #[test]
    fn an_update_changes_nothing_but_the_managed_fields(before in stated(), after in stated()) {
        let (schema, reset) = (thing(), FieldSet::default());
        let scope = Scope { schema: &schema, api_version: "v1", subresource: "", reset: &reset };
        let writer = Writer { manager: "ed", now: "2024-01-01T00:00:00Z" };
        let live = update(&scope, &Value::Null, &before, &writer);
        let mut written = update(&scope, &live, &after, &writer);
        object::remove_meta(&mut written, "managedFields");
        let empty = |object: &Value| object.get("metadata") == Some(&json!({}));
        if empty(&written) && !empty(&after) {
            object::remove_at(&mut written, &["metadata"]);
        }
        prop_assert_eq!(written, after);
    }
}
