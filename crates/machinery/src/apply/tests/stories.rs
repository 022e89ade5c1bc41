//! Stories of several managers, each told once.

use serde_json::{Value, json};

use super::super::{ApplyError, FieldSet, Scope, Writer, keep_times_if_unchanged, update};
use super::Story;
use crate::object;
use crate::schema::tests::library;

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
fn what_others_emptied_is_owned_but_not_stored() {
    let mut story = Story::new();
    story.update("ed", "", |object| object["data"] = json!({"a": "1"}));
    story.force("ann", json!({"data": {"a": "2"}}));
    story.force("ann", json!({}));
    assert_eq!(story.object.get("data"), None);
    assert_eq!(story.owners(), json!({"ed": {"f:data": {}}}));
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
    let mut made =
        json!({"metadata": {"name": "x"}, "spec": {"list": ["a"], "free": {"x": [1], "y": {"z": 1}}}});
    update(&scope, &Value::Null, &mut made, &Writer { manager: "ed", now: "2024-01-01T00:00:00Z" });
    assert_eq!(
        made["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {".": {}, "f:free": {".": {}, "f:x": {}, "f:y": {".": {}, "f:z": {}}}, "f:list": {}}})
    );
}
