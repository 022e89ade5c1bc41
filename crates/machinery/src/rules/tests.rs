//! Rules and what they say, in the words of a Kubernetes API server where those are fixed.

use serde_json::{Value, json};

use super::{Rules, problems};
use crate::field::Path;

fn judged(schema: &Value, object: &Value, old: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let verdict = Rules::read(schema).expect("rules").judge(object, old);
    (verdict.errors.iter().map(ToString::to_string).collect(), verdict.warnings)
}

fn errors(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
    judged(schema, object, old).0
}

/// A schema with one field `f`, which has `rules`.
fn field(mut schema: Value, rules: Value) -> Value {
    schema["x-kubernetes-validations"] = rules;
    json!({"type": "object", "properties": {"f": schema}})
}

fn rule(text: &str) -> Value {
    json!([{"rule": text}])
}

#[test]
fn rules_see_values_as_their_schema_types_them() {
    let object = |fields: Value| json!({"type": "object", "properties": fields});
    for (schema, value, holds) in [
        (json!({"type": "integer"}), json!(3), "self > 2"),
        (json!({"type": "number"}), json!(3), "self == 3.0 && self / 2.0 == 1.5"),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("2024-01-01T00:00:00Z"),
            "self.getFullYear() == 2024",
        ),
        (json!({"type": "string", "format": "date"}), json!("2024-02-01"), "self.getMonth() == 1"),
        (json!({"type": "string", "format": "duration"}), json!("90s"), "self == duration('1m30s')"),
        (json!({"type": "string", "format": "byte"}), json!("aGk="), "self == b'hi'"),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!("50%"),
            "type(self) == string ? self == '50%' : self == 50",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(50),
            "type(self) == string ? self == '50%' : self == 50",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"a": 1}),
            "self.all(k, self[k] == 1)",
        ),
        (
            object(
                json!({"a-b": {"type": "string"}, "c.d/e": {"type": "string"}, "x__y": {"type": "string"}, "namespace": {"type": "string"}}),
            ),
            json!({"a-b": "1", "c.d/e": "2", "x__y": "3", "namespace": "4"}),
            "self.a__dash__b == '1' && self.c__dot__d__slash__e == '2' && self.x__underscores__y == '3' && self.__namespace__ == '4'",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "b"]),
            "self == ['b', 'a'] && (self + ['b', 'c']).size() == 3",
        ),
        (json!({"type": "array", "items": {"type": "string"}}), json!(["a", "b"]), "self != ['b', 'a']"),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
            json!({"kind": "K", "metadata": {"name": "n"}}),
            "self.kind == 'K' && self.metadata.name == 'n'",
        ),
    ] {
        let object = json!({"f": value});
        assert_eq!(errors(&field(schema, rule(holds)), &object, None), Vec::<String>::new(), "{holds}");
    }
}

#[test]
fn messages_reasons_and_paths() {
    let schema = |rule: Value| {
        field(
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}),
            json!([rule]),
        )
    };
    let object = json!({"f": {"a": 1, "b": "x"}});
    for (rule, told) in [
        (json!({"rule": "self.a > 1"}), "f: Invalid value: failed rule: self.a > 1"),
        (json!({"rule": "self.a > 1", "message": "too few"}), "f: Invalid value: too few"),
        (
            json!({"rule": "self.a > 1", "messageExpression": "'a is ' + string(self.a)"}),
            "f: Invalid value: a is 1",
        ),
        (json!({"rule": "self.a > 1", "message": "m", "messageExpression": "''"}), "f: Invalid value: m"),
        (
            json!({"rule": "self.a > 1", "message": "m", "reason": "FieldValueForbidden", "fieldPath": ".a"}),
            "f.a: Forbidden: m",
        ),
        (
            json!({"rule": "self.a > 1", "message": "m", "reason": "FieldValueRequired"}),
            "f: Required value: m",
        ),
        (
            json!({"rule": "1 / (self.a - 1) == 1"}),
            "f: Invalid value: \"object\": division by zero evaluating rule: 1 / (self.a - 1) == 1",
        ),
    ] {
        assert_eq!(errors(&schema(rule), &object, None), [told]);
    }
    let scalar = field(json!({"type": "integer"}), rule("self > 1"));
    assert_eq!(errors(&scalar, &json!({"f": 1}), None), ["f: Invalid value: 1: failed rule: self > 1"]);
}

#[test]
fn changes_are_judged_where_the_old_value_is_found() {
    let item = json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "shrinks"}]}}});
    let keyed = json!({"type": "object", "properties": {"f": {"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"], "items": item}, "m": {"type": "object", "additionalProperties": item}}});
    let old = json!({"f": [{"k": "a", "v": 5}, {"k": "b", "v": 5}], "m": {"x": {"v": 2}}});
    let new = json!({"f": [{"k": "b", "v": 4}, {"k": "a", "v": 6}, {"k": "c", "v": 0}], "m": {"x": {"v": 1}, "y": {"v": 0}}});
    let told = errors(&keyed, &new, Some(&old));
    assert_eq!(told, ["f[0].v: Invalid value: 4: shrinks", "m[x].v: Invalid value: 1: shrinks"]);
    assert_eq!(errors(&keyed, &new, None), Vec::<String>::new());

    let optional = field(
        json!({"type": "integer"}),
        json!([{"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": true, "message": "starts at 1"}]),
    );
    assert_eq!(errors(&optional, &json!({"f": 2}), None), ["f: Invalid value: 2: starts at 1"]);
    assert_eq!(errors(&optional, &json!({"f": 2}), Some(&json!({"f": 1}))), Vec::<String>::new());
}

#[test]
fn what_did_not_change_may_stay() {
    let schema = json!({"type": "object", "properties": {
        "f": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}, "g": {"type": "integer"}}});
    let (told, warnings) = judged(&schema, &json!({"f": 1, "g": 2}), Some(&json!({"f": 1, "g": 1})));
    assert_eq!((told.len(), warnings), (0, vec!["f: Invalid value: 1: failed rule: self > 1".to_owned()]));
    assert_eq!(errors(&schema, &json!({"f": 0}), Some(&json!({"f": 1}))).len(), 1);
}

#[test]
fn budgets_end_what_takes_too_long() {
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let many = json!({"f": (0..2000).collect::<Vec<_>>()});
    let schema = field(list, json!([{"rule": "self.all(x, self.all(y, x + y >= 0))"}, {"rule": "false"}]));
    let told = errors(&schema, &many, None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("actual cost limit exceeded") && told[0].contains("no further validation rules"),
        "{told:?}"
    );

    let items = json!({"type": "array", "items": {"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(x, self.all(y, x + y >= 0))"}]}});
    let schema = json!({"type": "object", "properties": {"f": items}});
    let rows = json!({"f": vec![json!((0..350).collect::<Vec<_>>()); 20]});
    let told = errors(&schema, &rows, None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("running out of cost budget"), "{told:?}");
}

#[test]
fn definitions_are_told_what_is_wrong_with_their_rules() {
    let told = |schema: &Value| -> Vec<String> {
        problems(schema, &Path::new("s")).iter().map(ToString::to_string).collect()
    };
    let at = "s.properties[f].x-kubernetes-validations[0]";
    let text = json!({"type": "string"});
    let atomic = json!({"type": "object", "properties": {"f": {"type": "array", "maxItems": 5,
        "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}});
    for (schema, path, why) in [
        (
            field(text.clone(), rule("self.nope == 1")),
            format!("{at}.rule"),
            "compilation failed: ERROR: <input>:1:5: type 'string' does not support field selection",
        ),
        (
            field(json!({"type": "object", "properties": {"a": {"type": "string"}}}), rule("self.b == 'x'")),
            format!("{at}.rule"),
            "undefined field 'b'",
        ),
        (field(text.clone(), rule("self")), format!("{at}.rule"), "cel expression must evaluate to a bool"),
        (field(text.clone(), rule("self == ")), format!("{at}.rule"), "Syntax error"),
        (
            field(text.clone(), rule("self == 1")),
            format!("{at}.rule"),
            "found no matching overload for '_==_' applied to '(string, int)'",
        ),
        (
            field(text.clone(), json!([{"rule": "true", "messageExpression": "1"}])),
            format!("{at}.messageExpression"),
            "messageExpression must evaluate to a string",
        ),
        (
            field(text.clone(), json!([{"rule": "true", "optionalOldSelf": true}])),
            format!("{at}.optionalOldSelf"),
            "may not be set if oldSelf is not used in rule",
        ),
        (
            atomic,
            "s.properties[f].items.x-kubernetes-validations[0].rule".to_owned(),
            "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[f]",
        ),
    ] {
        let told = told(&schema);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&path) && told[0].contains(why), "{} is not {path} {why}", told[0]);
    }
}

/// The figures are those that a Kubernetes API server names for the same schemas.
#[test]
fn rules_that_may_cost_too_much_are_refused() {
    let strings = |items: Value, list: Value| {
        let mut schema = json!({"type": "array", "items": {"type": "string"}});
        if !items.is_null() {
            schema["items"]["maxLength"] = items;
        }
        if !list.is_null() {
            schema["maxItems"] = list;
        }
        schema
    };
    for (schema, text, factor) in [
        (
            strings(Value::Null, Value::Null),
            "self.all(x, self.all(y, x != y || x == y))",
            Some("more than 100x"),
        ),
        (strings(json!(10), json!(10)), "self.all(x, self.all(y, x != y || x == y))", None),
        (strings(Value::Null, json!(5)), "self.all(x, x.contains('abc'))", None),
        (json!({"type": "string"}), "self.matches('^[a-z]+$')", None),
        (json!({"type": "integer"}), "self > 1", None),
    ] {
        let told = problems(&field(schema, rule(text)), &Path::new("s"));
        match factor {
            None => assert_eq!(told, [], "{text}"),
            Some(factor) => {
                assert!(
                    told[0]
                        .to_string()
                        .contains(&format!("estimated rule cost exceeds budget by factor of {factor}")),
                    "{told:?}"
                );
            }
        }
    }
}
