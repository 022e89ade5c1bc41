//! Nodes.

use serde_json::{Value, json};

use super::{BASE, Strategy};
use crate::Result;
use crate::resource::Call;

pub(super) const STRATEGY: Strategy = Strategy { prepare_create: taint, ..BASE };

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// A new node takes no Pods until the controller of nodes has seen it ready.
fn taint(_: &mut Call, draft: &mut Value) -> Result<()> {
    let is = |taint: &Value| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule";
    if draft["spec"]["taints"].as_array().is_some_and(|taints| taints.iter().any(is)) {
        return Ok(());
    }
    let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
    match draft["spec"]["taints"].as_array_mut() {
        Some(taints) => taints.push(taint),
        None => draft["spec"]["taints"] = json!([taint]),
    }
    Ok(())
}
