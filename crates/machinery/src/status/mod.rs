//! The `Status` object: how every refusal, and the end of a successful delete, is told to a client.

mod reason;

pub use reason::Reason;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field::FieldError;
use crate::gvk::{Gvk, Gvr};

/// One reason among several, usually for one field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Machine word, for example `FieldValueRequired`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What the failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's group; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource (`pods`), or for `Invalid` the kind (`Pod`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Every cause found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again, in seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// The list metadata that a Status carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusMeta {
    /// Where a list may go on whose own state is gone.
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// The answer to a request that yields no object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    #[serde(default)]
    pub kind: String,
    /// Always `v1`.
    #[serde(default)]
    pub api_version: String,
    /// Empty but for lists that cannot go on as they began.
    #[serde(default)]
    pub metadata: StatusMeta,
    /// `Success` or `Failure`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The word of a [`Reason`]; empty where no reason fits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP code; 0 means not said.
    #[serde(default, skip_serializing_if = "is_zero_code")]
    pub code: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero_code(n: &u16) -> bool {
    *n == 0
}

impl std::error::Error for Status {}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Status {
    fn bare(status: &str, code: u16) -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: StatusMeta::default(),
            status: status.into(),
            message: String::new(),
            reason: String::new(),
            details: None,
            code,
        }
    }

    /// Success without an object to show, about `name` of resource `gvr` (what a finished delete answers).
    pub fn deleted(gvr: &Gvr, name: &str, uid: &str) -> Self {
        let mut status = Self::bare("Success", 0);
        status.details = Some(Details { uid: uid.into(), ..about(gvr, name) });
        status
    }

    /// Success and nothing more.
    pub fn success() -> Self {
        Self::bare("Success", 200)
    }

    /// A failure for `reason` that says `message`.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        let mut status = Self::bare("Failure", reason.code());
        status.reason = reason.as_str().into();
        status.message = message.into();
        status
    }

    /// A failure with any HTTP code and no reason word.
    pub fn unexplained(code: u16, message: impl Into<String>) -> Self {
        let mut status = Self::bare("Failure", code);
        status.message = message.into();
        status
    }

    /// 404 for an object of a resource.
    pub fn not_found(gvr: &Gvr, name: &str) -> Self {
        Self::failure(Reason::NotFound, format!("{} {name:?} not found", gvr.qualified()))
            .with_details(about(gvr, name))
    }

    /// 404 for a path that no route knows.
    pub fn no_such_path() -> Self {
        Self::failure(Reason::NotFound, "the server could not find the requested resource")
            .with_details(Details::default())
    }

    /// 409: the name is taken.
    pub fn already_exists(gvr: &Gvr, name: &str) -> Self {
        Self::failure(Reason::AlreadyExists, format!("{} {name:?} already exists", gvr.qualified()))
            .with_details(about(gvr, name))
    }

    /// 409: the object is not as the client believed; `why` says what differs.
    pub fn conflict(gvr: &Gvr, name: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", gvr.qualified());
        Self::failure(Reason::Conflict, message).with_details(about(gvr, name))
    }

    /// 409 for a stale resourceVersion.
    pub fn stale(gvr: &Gvr, name: &str) -> Self {
        Self::conflict(
            gvr,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422: the fields in `errors` are wrong.
    pub fn invalid(gvk: &Gvk, name: &str, errors: &[FieldError]) -> Self {
        let kind =
            if gvk.group.is_empty() { gvk.kind.clone() } else { format!("{}.{}", gvk.kind, gvk.group) };
        let why = match errors {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => {
                let all: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!(": [{}]", all.join(", "))
            }
        };
        let message = format!("{kind} {name:?} is invalid{why}");
        Self::failure(Reason::Invalid, message).with_details(Details {
            name: name.into(),
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            causes: errors.iter().map(FieldError::cause).collect(),
            ..Details::default()
        })
    }

    /// 403: `why` names who may not do what.
    pub fn forbidden(gvr: &Gvr, name: &str, why: impl std::fmt::Display) -> Self {
        let message = match (gvr.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{} is forbidden: {why}", gvr.qualified()),
            (false, false) => format!("{} {name:?} is forbidden: {why}", gvr.qualified()),
        };
        Self::failure(Reason::Forbidden, message).with_details(about(gvr, name))
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(Reason::BadRequest, message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::failure(Reason::Unauthorized, "Unauthorized")
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed(gvr: &Gvr, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind {:?}", gvr.qualified());
        Self::failure(Reason::MethodNotAllowed, message).with_details(about(gvr, ""))
    }

    /// 406: `offered` are the types that could be had.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", offered.join(", "));
        Self::failure(Reason::NotAcceptable, message)
    }

    /// 415: `offered` are the types that would be understood.
    pub fn unsupported_media_type(offered: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            offered.join(", ")
        );
        Self::failure(Reason::UnsupportedMediaType, message)
    }

    /// 410: the resource version is too old to continue from.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(Reason::Expired, message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::failure(Reason::RequestEntityTooLarge, message)
    }

    /// 429: try again after `seconds`.
    pub fn too_many_requests(message: impl Into<String>, seconds: i32) -> Self {
        Self::failure(Reason::TooManyRequests, message)
            .with_details(Details { retry_after_seconds: seconds, ..Details::default() })
    }

    /// 500: something that the client cannot mend; `what` says it for the log and for people.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::failure(Reason::InternalError, format!("Internal error occurred: {what}")).with_details(
            Details {
                causes: vec![Cause { message: what.to_string(), ..Cause::default() }],
                ..Details::default()
            },
        )
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(Reason::ServiceUnavailable, message)
    }

    /// 504.
    pub fn timeout(message: impl Into<String>, seconds: i32) -> Self {
        Self::failure(Reason::Timeout, format!("Timeout: {}", message.into()))
            .with_details(Details { retry_after_seconds: seconds, ..Details::default() })
    }

    /// The same with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(details);
        self
    }

    /// The same with `causes` in its details.
    #[must_use]
    pub fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes = causes;
        self
    }

    /// Whether this is a failure for `reason`.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason.as_str()
    }

    /// The object as JSON.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

fn about(gvr: &Gvr, name: &str) -> Details {
    Details { name: name.into(), group: gvr.group.clone(), kind: gvr.resource.clone(), ..Details::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use serde_json::json;

    #[test]
    fn not_found_names_the_resource_with_its_group() {
        let status = Status::not_found(&Gvr::new("kubevirt.io", "v1", "virtualmachines"), "a");
        assert_eq!(
            status.to_value(),
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "virtualmachines.kubevirt.io \"a\" not found", "reason": "NotFound",
                "details": {"name": "a", "group": "kubevirt.io", "kind": "virtualmachines"}, "code": 404,
            })
        );
    }

    #[test]
    fn invalid_lists_every_field() {
        let errors = [
            FieldError::required(Path::new("spec.a"), ""),
            FieldError::invalid(Path::new("spec.b"), 3, "must be at least 5"),
        ];
        let status = Status::invalid(&Gvk::new("", "v1", "Pod"), "p", &errors);
        assert_eq!(
            status.message,
            "Pod \"p\" is invalid: [spec.a: Required value, spec.b: Invalid value: 3: must be at least 5]"
        );
        let details = status.details.expect("details");
        assert_eq!(details.kind, "Pod");
        assert_eq!(details.causes[0].reason, "FieldValueRequired");
        assert_eq!(details.causes[1].field, "spec.b");
    }

    #[test]
    fn a_status_survives_json() {
        let status = Status::too_many_requests("slow down", 5);
        let back: Status = serde_json::from_value(status.to_value()).expect("parses");
        assert_eq!(back, status);
    }
}
