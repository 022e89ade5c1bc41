//! What goes wrong when talking to an API server, as a controller needs to tell it apart.

use std::error::Error;

use kube::core::Status;

/// A failed request: what was asked for, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {problem}")]
pub struct ApiError {
    /// The request in words, such as `patch status of pods default/web`.
    pub operation: String,
    /// The reason.
    #[source]
    pub problem: Problem,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The object does not exist.
    #[error("not found")]
    NotFound,
    /// Nobody serves what was asked for, so that nothing is known of the object.
    #[error("nothing is served there")]
    NotServed,
    /// An object of this name exists already.
    #[error("an object of this name exists already")]
    AlreadyExists,
    /// The object changed since it was read; read it again.
    #[error("the object changed in between: {0}")]
    Conflict(String),
    /// The requested revision is no longer kept; list again.
    #[error("the revision is no longer kept")]
    Gone,
    /// The server has not reached the requested revision: it lags, or was put back to an older state.
    #[error("the server has not reached the revision: {0}")]
    Ahead(String),
    /// The identity lacks the right, or admission forbids it: a quota is used up, a class is not there.
    #[error("{}", forbidden(.0))]
    Forbidden(String),
    /// The server refuses the object; sending it again will not help.
    #[error("refused: {0}")]
    Invalid(String),
    /// The server asks for patience.
    #[error("the API server is busy: {0}")]
    Busy(String),
    /// The server failed or answered something unexpected.
    #[error("the API server answered {code}: {message}")]
    Server {
        /// HTTP status code.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("the API server cannot be reached")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
    /// The answer is not what the type expects.
    #[error("the answer cannot be read")]
    Decode(#[source] Box<dyn Error + Send + Sync>),
}

/// Says what to do about a request that is forbidden with `message`. Admission's refusals say what they miss themselves.
fn forbidden(message: &str) -> String {
    let authorization = message.contains("cannot") && message.contains("User ");
    if authorization || message == "Unauthorized" {
        return format!("{message}; grant the right to this component's service account");
    }
    message.to_owned()
}

impl ApiError {
    pub(crate) fn new(operation: String, error: kube::Error) -> Self {
        Self { operation, problem: Problem::from(error) }
    }

    /// Tells whether the object did not exist, for all that can be seen: its resource may not be served either.
    pub fn is_not_found(&self) -> bool {
        matches!(self.problem, Problem::NotFound | Problem::NotServed)
    }

    /// Tells whether a server of its kind says that there is no such object.
    pub fn is_absent(&self) -> bool {
        matches!(self.problem, Problem::NotFound)
    }

    /// Tells whether an object of this name was there already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self.problem, Problem::AlreadyExists)
    }

    /// Tells whether the object changed in between.
    pub fn is_conflict(&self) -> bool {
        matches!(self.problem, Problem::Conflict(_))
    }

    /// Tells whether the revision is no longer kept.
    pub fn is_gone(&self) -> bool {
        matches!(self.problem, Problem::Gone)
    }

    /// Tells whether the server has not reached the revision.
    pub fn is_ahead(&self) -> bool {
        matches!(self.problem, Problem::Ahead(_))
    }

    /// Tells whether the server refuses the request for good.
    pub fn is_refused(&self) -> bool {
        matches!(self.problem, Problem::Invalid(_) | Problem::Forbidden(_))
    }
}

impl From<kube::Error> for Problem {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(*status),
            kube::Error::SerdeError(source) => Self::Decode(Box::new(source)),
            other => Self::Transport(Box::new(other)),
        }
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        match (status.code, status.reason.as_str()) {
            // Who knows the kind names the object; a path that leads nowhere is told without, or in plain text.
            (404, "NotFound") if status.details.as_ref().is_some_and(|details| !details.name.is_empty()) => {
                Self::NotFound
            }
            (404, _) => Self::NotServed,
            (409, "AlreadyExists") => Self::AlreadyExists,
            (409, _) => Self::Conflict(status.message),
            (410, _) => Self::Gone,
            (401 | 403, _) => Self::Forbidden(status.message),
            (400 | 405 | 413 | 415 | 422, _) => Self::Invalid(status.message),
            (429 | 503, _) => Self::Busy(status.message),
            (504, _) if has_cause(&status, "ResourceVersionTooLarge") => Self::Ahead(status.message),
            (code, _) => Self::Server { code, message: status.message },
        }
    }
}

fn has_cause(status: &Status, reason: &str) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absence_is_told_from_a_path_that_leads_nowhere() {
        let of = |reason: &str, name: Option<&str>| {
            let details = name.map(|name| json!({"name": name}));
            let status = json!({"code": 404, "reason": reason, "details": details});
            let status: Status = serde_json::from_value(status).expect("a status");
            let error = ApiError { operation: String::new(), problem: Problem::from(status) };
            (error.is_not_found(), error.is_absent())
        };
        assert_eq!(of("NotFound", Some("a")), (true, true));
        assert_eq!(of("NotFound", Some("")), (true, false), "no such resource");
        assert_eq!(of("NotFound", None), (true, false));
        assert_eq!(of("Failed to parse error data", None), (true, false), "plain text");
    }

    #[test]
    fn only_a_missing_right_asks_for_a_right() {
        let forbidden = |message: &str| Problem::Forbidden(message.to_owned()).to_string();
        let right = r#"pods is forbidden: User "a" cannot create resource "pods" in API group "" in the namespace "b""#;
        assert!(forbidden(right).ends_with("grant the right to this component's service account"));
        let class = "pods \"p\" is forbidden: no PriorityClass with name high was found";
        assert_eq!(forbidden(class), class);
    }
}
