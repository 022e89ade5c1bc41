//! Whether a user may: asked of the API server, with what the route says.

use kube_ext::{Api, Client, Meta, Resource};
use machinery::admission::UserInfo;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GROUP;
use super::route::Matched;

/// The answer of a `SubjectAccessReview`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Review {
    metadata: Meta,
    status: Verdict,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Verdict {
    allowed: bool,
    reason: String,
}

kube_ext::view!(Review => Resource::cluster(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews"
));

/// Asks whether `user` may do what was matched; otherwise says why not.
pub(crate) async fn check(
    client: &Client,
    user: &UserInfo,
    matched: &Matched<'_>,
    version: &str,
) -> Result<(), String> {
    if matched.route.is_open() {
        return Ok(());
    }
    let review = question(user, matched, version);
    match Api::<Review>::new(client).create("", &review).await {
        Ok(answer) if answer.status.allowed => Ok(()),
        Ok(answer) => Err(answer.status.reason),
        Err(error) => {
            tracing::error!(%error, "ask whether a user may");
            Err("internal server error".to_owned())
        }
    }
}

fn question(user: &UserInfo, matched: &Matched<'_>, version: &str) -> Value {
    let (resource, subresource) = matched.route.subject();
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "resourceAttributes": {
                "namespace": matched.namespace,
                "verb": matched.route.verb(),
                "group": GROUP,
                "version": version,
                "resource": resource,
                "subresource": subresource,
                "name": matched.name,
            },
        },
    })
}
