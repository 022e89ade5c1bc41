//! Devices that Pods claim: what is left out in requests for them.

use serde_json::Value;

use super::{BASE, Strategy, items_mut, set_default};

pub(super) fn strategy(plural: &str) -> Strategy {
    let default: fn(&mut Value) = match plural {
        "resourceclaims" => |draft| requests(&mut draft["spec"]["devices"]),
        "resourceclaimtemplates" => |draft| requests(&mut draft["spec"]["spec"]["devices"]),
        _ => return BASE,
    };
    Strategy { default, ..BASE }
}

/// One device, where a request does not say how many.
fn requests(devices: &mut Value) {
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly") {
            count(exactly);
        }
        items_mut(request, "firstAvailable").for_each(count);
    }
}

fn count(request: &mut Value) {
    set_default(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" && request["count"].as_i64().unwrap_or_default() == 0 {
        request["count"] = 1.into();
    }
}
