//! JSON patch (RFC 6902): a list of operations, all or none.

use json_patch::PatchOperation;
use serde_json::Value;

use super::PatchError;

/// Most operations in one patch.
pub const MAX_OPERATIONS: usize = 10_000;

/// Most bytes that all copies of one patch may add, as JSON: what Kubernetes allows. A value that is copied into itself
/// doubles with each operation.
pub const MAX_COPIED: usize = 3 << 20;

/// Applies the operations in `patch`.
pub fn apply(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch
        .as_array()
        .ok_or_else(|| PatchError::Form("a JSON patch must be a list of operations".to_owned()))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooMany { most: MAX_OPERATIONS, found: operations.len() });
    }
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|error| PatchError::Form(error.to_string()))?;
    let mut patched = object.clone();
    let mut copied = 0_usize;
    for (index, operation) in operations.iter().enumerate() {
        if expects_nothing(operation, &patched) {
            continue;
        }
        copied = copied.saturating_add(copied_by(operation, &patched));
        if copied > MAX_COPIED {
            return Err(PatchError::DoesNotApply(format!(
                "operation '/{index}' failed: the copies of this patch are larger than {MAX_COPIED} bytes together"
            )));
        }
        json_patch::patch(&mut patched, std::slice::from_ref(operation)).map_err(|error| {
            let (place, why) = (&error.path, &error.kind);
            PatchError::DoesNotApply(format!("operation '/{index}' failed at path '{place}': {why}"))
        })?;
    }
    Ok(patched)
}

/// How many bytes `operation` copies.
fn copied_by(operation: &PatchOperation, object: &Value) -> usize {
    let PatchOperation::Copy(copy) = operation else { return 0 };
    copy.from.resolve(object).map_or(0, |value| value.to_string().len())
}

/// Whether `operation` tests that a field is null which is not there. Kubernetes takes the two for the same, and clients
/// rely on it: they test so that a list is not there yet before they begin one.
fn expects_nothing(operation: &PatchOperation, object: &Value) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let parent = test.path.parent().and_then(|parent| parent.resolve(object).ok());
    test.value.is_null() && parent.is_some_and(Value::is_object) && test.path.resolve(object).is_err()
}

/// The operations that turn `before` into `after`.
pub fn diff(before: &Value, after: &Value) -> Value {
    serde_json::to_value(json_patch::diff(before, after)).unwrap_or_else(|_| Value::Array(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_apply_in_order() {
        let object = json!({"a": [1, 2], "b": {"c/d": 1}});
        let patch = json!([
            {"op": "test", "path": "/a/0", "value": 1},
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "remove", "path": "/a/0"},
            {"op": "replace", "path": "/b/c~1d", "value": 2},
            {"op": "copy", "from": "/a", "path": "/e"},
            {"op": "move", "from": "/b", "path": "/f"},
        ]);
        let after = apply(&object, &patch).expect("applies");
        assert_eq!(after, json!({"a": [2, 3], "e": [2, 3], "f": {"c/d": 2}}));
        assert_eq!(apply(&object, &diff(&object, &after)), Ok(after));
    }

    #[test]
    fn a_field_that_is_not_there_is_null() {
        let patch = json!([
            {"op": "test", "path": "/spec/list", "value": null},
            {"op": "add", "path": "/spec/list", "value": []},
            {"op": "add", "path": "/spec/list/-", "value": 1},
        ]);
        assert_eq!(apply(&json!({"spec": {}}), &patch), Ok(json!({"spec": {"list": [1]}})));
        let begun = apply(&json!({"spec": {"list": [0]}}), &patch).expect_err("it is there");
        assert!(begun.to_string().contains("operation '/0' failed at path '/spec/list'"), "{begun}");
        assert!(apply(&json!({}), &patch).is_err(), "nothing is there that could have it");
    }

    #[test]
    fn copies_have_a_bound() {
        let double = |times: usize| {
            let copies = (0..times).map(|n| json!({"op": "copy", "from": "", "path": format!("/{n}")}));
            apply(&json!({"a": "x".repeat(1000)}), &copies.collect())
        };
        assert!(double(10).is_ok());
        let refused = double(40).expect_err("a thousand bytes doubled forty times");
        assert_eq!(refused.status().code, 422);
        assert!(refused.to_string().contains("larger than 3145728 bytes"), "{refused}");
    }

    #[test]
    fn refusals() {
        let object = json!({"a": 1});
        let cases = [
            (json!({}), 400),
            (json!([{"op": "fly", "path": "/a"}]), 400),
            (json!([{"op": "remove", "path": "/b"}]), 422),
            (json!([{"op": "test", "path": "/a", "value": 2}]), 422),
            (json!([{"op": "add", "path": "/b/c", "value": 2}]), 422),
            (Value::Array(vec![json!({"op": "test", "path": "/a", "value": 1}); MAX_OPERATIONS + 1]), 413),
        ];
        for (patch, code) in cases {
            assert_eq!(apply(&object, &patch).expect_err("refused").status().code, code);
        }
    }
}
