//! What is seen of server and machine.

use serde_json::{Value, json};

use super::{local, rights};
use crate::api::{Api, CallError};
use crate::command::version;
use crate::request::{Kind, NameError, Request};

/// An answer, or why there is none.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    It(Value),
    Not {
        /// The answer's code, when there was an answer.
        code: Option<u16>,
        why: String,
    },
}

impl Seen {
    /// Returns what is seen.
    pub(super) fn it(&self) -> Option<&Value> {
        if let Self::It(value) = self { Some(value) } else { None }
    }

    /// The items of a list that is seen.
    pub(super) fn items(&self) -> Option<&Vec<Value>> {
        self.it()?["items"].as_array()
    }
}

/// All that is judged.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// The server's address.
    pub(crate) address: String,
    pub(crate) namespace: String,
    pub(crate) version: Seen,
    pub(crate) user: Seen,
    pub(crate) groups: Seen,
    /// A warning, when server and client are of different releases.
    pub(crate) older: Option<String>,
    pub(crate) installation: Seen,
    /// An answer for each of [`rights::WANTED`].
    pub(crate) rights: Vec<Seen>,
    pub(crate) nodes: Seen,
    pub(crate) classes: Seen,
    pub(crate) machines: Seen,
    /// Programs of [`local::PROGRAMS`] that are installed here.
    pub(crate) programs: Vec<String>,
}

/// Looks at everything.
///
/// # Errors
/// When the namespace's name is none.
pub(crate) async fn gather(api: &Api) -> Result<Sight, NameError> {
    let see = async |request: Request| match api.read(&request).await {
        Ok(value) => Seen::It(value),
        Err(error) => Seen::Not { code: error.code(), why: reason(&error) },
    };
    let version = see(Request::read("/version")).await;
    let reached = !matches!(version, Seen::Not { code: None, .. });
    let unasked = || Seen::Not { code: None, why: String::new() };
    let mut sight = Sight {
        address: api.address().to_owned(),
        namespace: api.namespace.clone(),
        version,
        user: unasked(),
        groups: unasked(),
        older: None,
        installation: unasked(),
        rights: Vec::new(),
        nodes: unasked(),
        classes: unasked(),
        machines: unasked(),
        programs: local::installed(&std::env::var_os("PATH").unwrap_or_default()),
    };
    if !reached {
        return Ok(sight);
    }
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    sight.user = see(Request::ask("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)).await;
    sight.groups = see(Request::read("/apis")).await;
    sight.older = version::mismatch(api).await;
    sight.installation = see(Request::list(None, Kind::KubeVirt)?).await;
    for wanted in rights::WANTED {
        let review = rights::review(&api.namespace, wanted);
        sight
            .rights
            .push(see(Request::ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)).await);
    }
    sight.nodes = see(Request::list(None, Kind::Node)?).await;
    sight.classes = see(Request::list(None, Kind::StorageClass)?).await;
    sight.machines = see(Request::list(Some(&api.namespace), Kind::Machine)?).await;
    Ok(sight)
}

fn reason(error: &CallError) -> String {
    match error {
        CallError::Unreachable { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}
