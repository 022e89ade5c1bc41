//! What a claim is filled with: `dataSource`, and the newer `dataSourceRef` that says the same (KEP 1495).
//!
//! The older field takes claims and snapshots only, and forgets anything else; the newer one takes every kind. Whoever
//! knows one of them finds in it what was said in the other.

use machinery::field::{FieldError, Path};
use serde_json::{Map, Value, json};

use super::storage::remove;
use super::text;

/// Fields that both have.
const COMMON: [&str; 3] = ["apiGroup", "kind", "name"];

/// Drops what a claim cannot be filled with, and says in both fields what one of them says.
pub(super) fn prepare(claim: &mut Value, old: Option<&Value>) {
    let had = |field: &str| old.is_some_and(|old| is_given(&old["spec"], field));
    let Some(spec) = claim.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    // Content of other namespaces needs a gate that is off.
    if !text(spec, &["dataSourceRef", "namespace"]).is_empty() && !had("dataSourceRef") {
        remove(spec, "dataSourceRef");
    }
    // Who gives the newer field does not count on the older one's forgetting, nor does a client that does not know the newer
    // one and sends back what it has read.
    let is_old_way = !is_given(spec, "dataSourceRef") && !had("dataSource") && !had("dataSourceRef");
    if is_old_way && !is_classic(&spec["dataSource"]) {
        remove(spec, "dataSource");
    }
    copy(spec);
}

/// Says in both fields what one of them says. Content of another namespace has no place in the older one.
pub(super) fn copy(spec: &mut Value) {
    let (from, to) = match (is_given(spec, "dataSource"), is_given(spec, "dataSourceRef")) {
        (true, false) => ("dataSource", "dataSourceRef"),
        (false, true) if text(spec, &["dataSourceRef", "namespace"]).is_empty() => {
            ("dataSourceRef", "dataSource")
        }
        _ => return,
    };
    let said: Map<String, Value> = COMMON
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), spec[from].get(field)?.clone())))
        .collect();
    spec[to] = said.into();
}

/// Refuses fields that contradict each other.
pub(super) fn validate(claim: &Value) -> Option<FieldError> {
    let spec = &claim["spec"];
    if !is_given(spec, "dataSource") || !is_given(spec, "dataSourceRef") {
        return None;
    }
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    let differ = |field: &str| text(source, &[field]) != text(reference, &[field]);
    let why = if !text(reference, &["namespace"]).is_empty() {
        "may not be specified when dataSourceRef.namespace is specified"
    } else if COMMON.into_iter().any(differ) {
        "must match dataSourceRef"
    } else {
        return None;
    };
    Some(FieldError::invalid(Path::new("spec"), json!({}), why))
}

fn is_given(spec: &Value, field: &str) -> bool {
    spec.get(field).is_some_and(Value::is_object)
}

/// Whether it is something that claims were filled with from the beginning.
fn is_classic(source: &Value) -> bool {
    matches!(
        (text(source, &["apiGroup"]), text(source, &["kind"])),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(source: Value, reference: Value) -> Value {
        let mut spec = json!({});
        for (field, value) in [("dataSource", source), ("dataSourceRef", reference)] {
            if !value.is_null() {
                spec[field] = value;
            }
        }
        json!({"spec": spec})
    }

    fn populator() -> Value {
        json!({"apiGroup": "a.example", "kind": "Fill", "name": "f"})
    }

    #[test]
    fn what_one_field_says_the_other_says_as_well() {
        let other = json!({"kind": "PersistentVolumeClaim", "name": "c"});
        let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"});
        let elsewhere = json!({"kind": "PersistentVolumeClaim", "name": "c", "namespace": "n"});
        for (given, expected) in [
            (claim(other.clone(), Value::Null), claim(other.clone(), other.clone())),
            (claim(snapshot.clone(), Value::Null), claim(snapshot.clone(), snapshot.clone())),
            (claim(Value::Null, populator()), claim(populator(), populator())),
            // Only the older field forgets, and only where nobody uses the newer.
            (claim(populator(), Value::Null), claim(Value::Null, Value::Null)),
            (claim(populator(), populator()), claim(populator(), populator())),
            (claim(populator(), other.clone()), claim(populator(), other.clone())),
            (claim(Value::Null, elsewhere), claim(Value::Null, Value::Null)),
            (claim(Value::Null, Value::Null), claim(Value::Null, Value::Null)),
        ] {
            let mut made = given.clone();
            prepare(&mut made, None);
            assert_eq!(made, expected, "{given}");
        }
    }

    #[test]
    fn a_client_that_knows_one_field_only_changes_neither() {
        let old = claim(populator(), populator());
        for sent in [claim(populator(), Value::Null), claim(Value::Null, populator()), old.clone()] {
            let mut draft = sent.clone();
            prepare(&mut draft, Some(&old));
            assert_eq!(draft, old, "{sent}");
        }
    }

    #[test]
    fn fields_that_contradict_are_refused() {
        let other = json!({"apiGroup": "a.example", "kind": "Fill", "name": "g"});
        let elsewhere = json!({"apiGroup": "a.example", "kind": "Fill", "name": "f", "namespace": "n"});
        let told = |reference: Value| {
            validate(&claim(populator(), reference))
                .map(|error| (error.path.as_str().to_owned(), error.detail))
        };
        assert_eq!(told(populator()), None);
        assert_eq!(told(Value::Null), None);
        assert_eq!(told(other), Some(("spec".into(), "must match dataSourceRef".into())));
        let words = "may not be specified when dataSourceRef.namespace is specified";
        assert_eq!(told(elsewhere), Some(("spec".into(), words.into())));
    }
}
