//! What holds in every story, over random ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{FieldSet, Scope, Writer, apply, update};
use super::Story;
use crate::object;
use crate::schema::tests::thing;

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
        let (mut live, mut written) = (before, after.clone());
        update(&scope, &Value::Null, &mut live, &writer);
        update(&scope, &live, &mut written, &writer);
        object::remove_meta(&mut written, "managedFields");
        let empty = |object: &Value| object.get("metadata") == Some(&json!({}));
        if empty(&written) && !empty(&after) {
            object::remove_at(&mut written, &["metadata"]);
        }
        prop_assert_eq!(written, after);
    }
}
