//! Refusals, in the forms that clients of the reference expect.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use kube_ext::{ApiError, Problem};
use machinery::gvk::Gvr;
use machinery::status::Status;

use super::{Body, full};
use crate::subresource::route::Scope;

/// What the client is told instead of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// A `Status` object.
    Status(Box<Status>),
    /// A sentence as plain text.
    Text(StatusCode, String),
}

impl Refusal {
    /// 400.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::Status(Box::new(Status::bad_request(message)))
    }

    /// 500.
    pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
        Self::Status(Box::new(Status::internal(what)))
    }

    /// 404 for an object.
    pub(crate) fn not_found(scope: Scope, name: &str) -> Self {
        Self::Status(Box::new(Status::not_found(&subject(scope), name)))
    }

    /// 409: the object is not in the right state.
    pub(crate) fn conflict(scope: Scope, name: &str, why: impl std::fmt::Display) -> Self {
        Self::Status(Box::new(Status::conflict(&subject(scope), name, why)))
    }

    /// 403 for a reason that lies in the object.
    pub(crate) fn forbidden(scope: Scope, name: &str, why: impl std::fmt::Display) -> Self {
        Self::Status(Box::new(Status::forbidden(&subject(scope), name, why)))
    }

    /// What a request to the API server on behalf of this one ended in.
    pub(crate) fn of_api(error: &ApiError) -> Self {
        Self::internal(error)
    }

    /// Whether a conditional change failed because its condition does not hold any more.
    pub(crate) fn is_overtaken(error: &ApiError) -> bool {
        match &error.problem {
            Problem::Conflict(_) => true,
            // A JSON patch whose test fails is refused with one of these sentences: Kubernetes' and our server's.
            Problem::Invalid(why) => ["due to an error in our request", "the patch does not apply"]
                .iter()
                .any(|sentence| why.contains(sentence)),
            _ => false,
        }
    }

    /// What a change of an object ended in.
    pub(crate) fn of_change(scope: Scope, name: &str, error: &ApiError) -> Self {
        match &error.problem {
            Problem::NotFound => Self::not_found(scope, name),
            Problem::Conflict(why) => Self::conflict(scope, name, why),
            _ => Self::internal(error),
        }
    }

    /// The same as plain text with code 500: so answer the paths that read from the node.
    pub(crate) fn into_text(self) -> Self {
        match self {
            Self::Status(status) => Self::Text(StatusCode::INTERNAL_SERVER_ERROR, status.message),
            text @ Self::Text(..) => text,
        }
    }

    /// The answer.
    pub(crate) fn response(self) -> Response<Body> {
        match self {
            Self::Status(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                answer(code, "application/json", status.to_value().to_string())
            }
            Self::Text(code, text) => answer(code, "text/plain; charset=utf-8", text),
        }
    }
}

/// The reference names the kinds in the singular here.
fn subject(scope: Scope) -> Gvr {
    let plural = scope.plural();
    Gvr::new("kubevirt.io", "v1", plural.strip_suffix('s').unwrap_or(plural))
}

/// An answer of bytes with a media type.
pub(crate) fn answer(code: StatusCode, media_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let bytes = bytes.into();
    let length = HeaderValue::from(bytes.len());
    let mut response = Response::new(full(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// An answer without content.
pub(crate) fn empty(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_object_as_the_reference_does() {
        let Refusal::Status(status) = Refusal::conflict(Scope::Machine, "v", "VM is not running") else {
            panic!("a status");
        };
        assert_eq!(
            status.message,
            "Operation cannot be fulfilled on virtualmachine.kubevirt.io \"v\": VM is not running"
        );
        let text = Refusal::not_found(Scope::Instance, "v").into_text();
        let expected = "virtualmachineinstance.kubevirt.io \"v\" not found".to_owned();
        assert_eq!(text, Refusal::Text(StatusCode::INTERNAL_SERVER_ERROR, expected));
    }
}
