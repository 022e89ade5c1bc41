//! The messages of `admission.k8s.io/v1`: what an admission plug-in is asked and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gvk::{Gvk, Gvr};
use crate::status::Status;

/// What is about to happen to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is created.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A connection to one of its subresources is opened.
    Connect,
}

impl Operation {
    /// The word in rules and requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// User name, for example `system:serviceaccount:default:builder`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Identity that survives a rename.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups the user is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// More facts that the authenticator found.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// One question to an admission plug-in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Names this question; the answer repeats it.
    pub uid: String,
    /// Kind of the object in the request.
    pub kind: Gvk,
    /// Resource of the request.
    pub resource: Gvr,
    /// For example `status`; empty for the object itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub_resource: String,
    /// Name of the object; empty on create with generateName.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace; empty for cluster-wide objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// What is about to happen.
    pub operation: Operation,
    /// Who asks.
    #[serde(default)]
    pub user_info: UserInfo,
    /// The object as it would be stored; null on delete.
    #[serde(default)]
    pub object: Value,
    /// The object as it is stored; null on create.
    #[serde(default)]
    pub old_object: Value,
    /// Whether nothing will be stored.
    #[serde(default)]
    pub dry_run: bool,
    /// The options of the verb, as the client sent them.
    #[serde(default)]
    pub options: Value,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The question's uid.
    #[serde(default)]
    pub uid: String,
    /// Whether it may happen.
    pub allowed: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// JSON patch, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Always `JSONPatch` when there is a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_type: Option<String>,
    /// Sentences for the client's Warning headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Response {
    /// It may happen.
    pub fn allow(uid: impl Into<String>) -> Self {
        Self { uid: uid.into(), allowed: true, ..Self::default() }
    }

    /// It may not, for the reason in `status`.
    pub fn deny(uid: impl Into<String>, status: Status) -> Self {
        Self { uid: uid.into(), allowed: false, status: Some(status), ..Self::default() }
    }

    /// The same with a warning added.
    #[must_use]
    pub fn warn(mut self, sentence: impl Into<String>) -> Self {
        self.warnings.push(sentence.into());
        self
    }
}

/// The envelope around a question or an answer on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// `admission.k8s.io/v1`.
    pub api_version: String,
    /// `AdmissionReview`.
    pub kind: String,
    /// The question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

impl Review {
    /// An envelope with a question.
    pub fn ask(request: Request) -> Self {
        Self { request: Some(request), ..Self::empty() }
    }

    /// An envelope with an answer.
    pub fn answer(response: Response) -> Self {
        Self { response: Some(response), ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            api_version: "admission.k8s.io/v1".into(),
            kind: "AdmissionReview".into(),
            request: None,
            response: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_review_reads_what_a_real_server_sends() {
        let wire = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "name": "p", "namespace": "n", "operation": "CREATE",
                "userInfo": {"username": "u", "groups": ["g"]}, "object": {"kind": "Pod"},
                "oldObject": null, "dryRun": false, "options": {},
            },
        });
        let review: Review = serde_json::from_value(wire).expect("reads");
        let request = review.request.expect("a request");
        assert_eq!(request.operation, Operation::Create);
        assert_eq!(request.user_info.groups, ["g"]);
        let answer = serde_json::to_value(Review::answer(Response::allow("1").warn("w"))).expect("writes");
        assert_eq!(answer["response"], json!({"uid": "1", "allowed": true, "warnings": ["w"]}));
    }
}
