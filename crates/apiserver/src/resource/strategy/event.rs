//! Events of both groups.

use machinery::field::FieldError;
use machinery::names;
use serde_json::Value;

use super::{BASE, Strategy, rules};
use crate::registry::convert;
use crate::resource::Call;

pub(super) const STRATEGY: Strategy = Strategy { name: names::path_segment, validate, ..BASE };

fn validate(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let strict = !convert::renames_only(&call.resource);
    let judged = |event: &Value| {
        let mut event = convert::to_storage(&call.resource, event.clone());
        if let Some(fields) = event.as_object_mut().filter(|_| strict) {
            // This one field keeps the name that the newer group gives it.
            let reporter = fields.shift_remove("reportingComponent").unwrap_or_default();
            fields.insert("reportingController".to_owned(), reporter);
        }
        event
    };
    rules::check_event(&judged(object), old.map(judged).as_ref(), strict)
}
