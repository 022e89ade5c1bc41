//! Tests of strategic merge patch, over a small schema with each kind of list.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::apply;
use crate::schema::{Library, Schema};

fn schema() -> Schema {
    let definitions = json!({
        "Plan": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "steps": {
                    "type": "array", "items": {"$ref": "Step"},
                    "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge,retainKeys",
                },
                "marks": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"},
                "words": {"type": "array", "items": {"type": "string"}},
                "choice": {"$ref": "Choice", "x-kubernetes-patch-strategy": "retainKeys"},
                "whole": {"$ref": "Choice", "x-kubernetes-patch-strategy": "replace"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "Choice": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"$ref": "Plan"}}},
        "Step": {
            "type": "object",
            "properties": {
                "name": {"type": "string"}, "image": {"type": "string"},
                "env": {
                    "type": "array", "items": {"$ref": "Step"},
                    "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge",
                },
                "args": {"type": "array", "items": {"type": "string"}},
            },
        },
    });
    Library::from_definitions(definitions.as_object().expect("a map")).named("Plan").expect("defined")
}

fn object() -> Value {
    json!({
        "name": "p",
        "steps": [{"name": "a", "image": "1", "env": [{"name": "X", "image": "x"}, {"name": "Y"}], "args": ["q"]}, {"name": "b", "image": "2"}],
        "marks": ["m1", "m2", "m3"], "words": ["w1", "w2"],
        "choice": {"a": "1", "b": {"name": "n"}}, "whole": {"a": "1"}, "map": {"k": "v", "l": "w"},
    })
}

#[test]
fn each_kind_of_field_merges_by_its_rule() {
    let cases = [
        // Lists by key: in place, new ones first, others untouched.
        (json!({"steps": [{"name": "b", "image": "9"}]}), "/steps/1", json!({"name": "b", "image": "9"})),
        (
            json!({"steps": [{"name": "c"}]}),
            "/steps",
            json!([{"name": "c"}, object()["steps"][0], object()["steps"][1]]),
        ),
        (
            json!({"steps": [{"name": "a", "env": [{"name": "Y", "image": "y"}, {"name": "Z"}]}]}),
            "/steps/0/env",
            json!([{"name": "X", "image": "x"}, {"name": "Y", "image": "y"}, {"name": "Z"}]),
        ),
        (json!({"steps": [{"name": "a", "args": ["r"]}]}), "/steps/0/args", json!(["r"])),
        (
            json!({"steps": [{"name": "a", "image": null}]}),
            "/steps/0",
            json!({"name": "a", "env": [{"name": "X", "image": "x"}, {"name": "Y"}], "args": ["q"]}),
        ),
        // Directives in lists.
        (
            json!({"steps": [{"name": "a", "$patch": "delete"}]}),
            "/steps",
            json!([{"name": "b", "image": "2"}]),
        ),
        (json!({"steps": [{"name": "zz", "$patch": "delete"}]}), "/steps", object()["steps"].clone()),
        (json!({"steps": [{"name": "n"}, {"$patch": "replace"}]}), "/steps", json!([{"name": "n"}])),
        (
            json!({"$setElementOrder/steps": [{"name": "b"}, {"name": "a"}]}),
            "/steps",
            json!([object()["steps"][1], object()["steps"][0]]),
        ),
        (
            json!({"$setElementOrder/steps": [{"name": "a"}, {"name": "n"}, {"name": "b"}], "steps": [{"name": "n"}]}),
            "/steps",
            json!([object()["steps"][0], {"name": "n"}, object()["steps"][1]]),
        ),
        // Lists of plain values.
        (json!({"marks": ["m4", "m1"]}), "/marks", json!(["m4", "m1", "m2", "m3"])),
        (json!({"$deleteFromPrimitiveList/marks": ["m2"]}), "/marks", json!(["m1", "m3"])),
        (json!({"$setElementOrder/marks": ["m3", "m1"]}), "/marks", json!(["m2", "m3", "m1"])),
        (
            json!({"$deleteFromPrimitiveList/marks": ["m1"], "$setElementOrder/marks": ["m2", "m4", "m3"], "marks": ["m4"]}),
            "/marks",
            json!(["m2", "m4", "m3"]),
        ),
        (json!({"words": ["x"]}), "/words", json!(["x"])),
        // Objects and maps.
        (json!({"map": {"k": null, "n": "1"}}), "/map", json!({"l": "w", "n": "1"})),
        (json!({"map": {"$patch": "replace", "n": "1"}}), "/map", json!({"n": "1"})),
        (json!({"map": {"$patch": "delete"}}), "/map", json!({})),
        (json!({"choice": {"$retainKeys": ["a"], "a": "2"}}), "/choice", json!({"a": "2"})),
        (json!({"choice": {"a": "2"}}), "/choice", json!({"a": "2", "b": {"name": "n"}})),
        (json!({"whole": {"b": {"name": "x", "map": null}}}), "/whole", json!({"b": {"name": "x"}})),
        (json!({"name": null}), "/name", Value::Null),
        // New values carry no directives.
        (
            json!({"choice": {"b": {"steps": [{"$patch": "delete", "name": "x"}, {"name": "y"}]}}}),
            "/choice/b/steps",
            json!([{"name": "y"}]),
        ),
    ];
    for (patch, at, expected) in cases {
        let patched = apply(&schema(), &object(), &patch).expect("applies");
        assert_eq!(patched.pointer(at).cloned().unwrap_or_default(), expected, "{patch}");
    }
}

#[test]
fn malformed_patches_are_refused() {
    let cases = [
        (json!([]), 400),
        (json!({"steps": [{"image": "x"}]}), 500),
        (json!({"steps": [{"$patch": "delete"}]}), 500),
        (json!({"steps": [{"name": "a", "$patch": "fly"}]}), 400),
        (json!({"map": {"$patch": "fly"}}), 400),
        (json!({"choice": {"$retainKeys": ["b"], "a": "2"}}), 400),
        (json!({"choice": {"$retainKeys": "a"}}), 400),
        (json!({"$setElementOrder/steps": [{"name": "a"}], "steps": [{"name": "n"}]}), 400),
        (json!({"$setElementOrder/marks": "x"}), 400),
        (json!({"$deleteFromPrimitiveList/marks": 1}), 400),
        (json!({"marks": [["x"]]}), 400),
    ];
    for (patch, code) in cases {
        let refused = apply(&schema(), &object(), &patch).expect_err("refused");
        assert_eq!(refused.status().code, code, "{patch}");
    }
}

fn patches() -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    let directive =
        prop_oneof![Just(json!("replace")), Just(json!("delete")), Just(json!("merge")), Just(json!(1))];
    let step = (name, prop::option::of(directive), prop::option::of("[a-c]")).prop_map(
        |(name, directive, image)| {
            let mut step = json!({"name": name});
            if let Some(directive) = directive {
                step["$patch"] = directive;
            }
            if let Some(image) = image {
                step["image"] = image.into();
            }
            step
        },
    );
    let marks = prop::collection::vec("m[1-5]", 0..4);
    (prop::collection::vec(step, 0..4), marks.clone(), marks, any::<[bool; 4]>()).prop_map(
        |(steps, marks, more, on)| {
            let mut patch = json!({});
            let parts = [
                ("steps", json!(steps)),
                ("marks", json!(marks)),
                ("$deleteFromPrimitiveList/marks", json!(more)),
                ("$setElementOrder/marks", json!(more)),
            ];
            for ((name, value), on) in parts.into_iter().zip(on) {
                if on {
                    patch[name] = value;
                }
            }
            patch
        },
    )
}

proptest! {
    #[test]
    fn a_patched_object_holds_no_directive_and_no_duplicate(patch in patches()) {
        if let Ok(patched) = apply(&schema(), &object(), &patch) {
            prop_assert!(!patched.to_string().contains('$'));
            let marks = patched["marks"].as_array().cloned().unwrap_or_default();
            let mut unique = marks.clone();
            unique.dedup();
            prop_assert_eq!(marks.len(), unique.len());
        }
    }

}

#[test]
fn an_empty_patch_changes_nothing() {
    assert_eq!(apply(&schema(), &object(), &json!({})), Ok(object()));
}
