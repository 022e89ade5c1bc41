//! Namespaces: their phase, their finalizer, and the label that carries their name.

use machinery::names;
use machinery::object;
use serde_json::{Value, json};

use super::{BASE, Strategy};
use crate::Result;
use crate::resource::Call;

pub(super) const STRATEGY: Strategy =
    Strategy { name: names::dns_label, default, prepare_create, prepare_update, ..BASE };

fn default(draft: &mut Value) {
    let name = object::name(draft).to_owned();
    if name.is_empty() {
        return;
    }
    let metadata = object::metadata_mut(draft);
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

fn prepare_create(_: &mut Call, draft: &mut Value) -> Result<()> {
    draft["status"] = json!({"phase": "Active"});
    let finalizers = draft.pointer("/spec/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    if finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
        return Ok(());
    }
    let mut finalizers = finalizers;
    finalizers.push("kubernetes".into());
    draft["spec"] = json!({"finalizers": finalizers});
    Ok(())
}

/// Only the `finalize` subresource changes `spec.finalizers`.
fn prepare_update(call: &mut Call, draft: &mut Value, old: &Value) -> Result<()> {
    if call.sub() == "finalize" {
        let finalizers = draft.pointer("/spec/finalizers").cloned();
        let mut result = old.clone();
        object::set_meta(&mut result, "resourceVersion", object::resource_version(draft));
        result["spec"] = finalizers.map_or_else(|| json!({}), |finalizers| json!({"finalizers": finalizers}));
        *draft = result;
    } else {
        super::copy(draft, old, "spec");
    }
    Ok(())
}
