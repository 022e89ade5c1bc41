//! Whether a program answers for its version: what the condition `Available` says, in kube-apiserver's words.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};

use super::front::Front;
use super::proxy;
use super::remote::Remote;
use crate::auth::identity;
use crate::peer::target::{Lack, Target};
use crate::{ApiServer, body};

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const ANSWER_MAX: usize = 4 << 20;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) available: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Finding {
    fn failed(reason: &'static str, message: String) -> Self {
        Self { available: false, reason, message }
    }

    fn passed() -> Self {
        Self { available: true, reason: "Passed", message: "all checks passed".to_owned() }
    }

    /// What is said of versions that this server answers itself.
    pub(super) fn local() -> Self {
        let message = "Local APIServices are always available".to_owned();
        Self { available: true, reason: "Local", message }
    }

    /// Writes the condition into an `APIService`; returns whether that changed it.
    pub(super) fn note(&self, object: &mut Value, now: &str) -> bool {
        let status = if self.available { "True" } else { "False" };
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let old = conditions.iter().find(|condition| condition["type"] == "Available");
        let same = |field: &str, value: &str| old.is_some_and(|old| old[field] == value);
        if same("status", status) && same("reason", self.reason) && same("message", &self.message) {
            return false;
        }
        let since = old
            .filter(|_| same("status", status))
            .map_or_else(|| json!(now), |old| old["lastTransitionTime"].clone());
        let new = json!({"type": "Available", "status": status, "lastTransitionTime": since, "reason": self.reason,
            "message": self.message});
        let others = conditions.iter().filter(|condition| condition["type"] != "Available").cloned();
        object["status"]["conditions"] = others.chain([new]).collect();
        true
    }
}

/// What a program says of its version.
#[derive(Debug)]
pub(super) struct Described {
    /// The entries of its `APIResourceList`.
    pub(super) resources: Vec<Value>,
    /// Where its OpenAPI document is, if it has one. Who does not say leaves what was known.
    pub(super) openapi: Result<Option<Box<str>>, String>,
}

/// Looks whether `remote` can be reached and answers; with what its version consists of, if it does.
pub(super) async fn check(
    server: &ApiServer,
    front: &Front,
    remote: &Remote,
) -> (Finding, Option<Described>) {
    if let Err(lack) = remote.behind(server) {
        return (unreachable(remote, &lack), None);
    }
    let path = remote.path();
    let (list, index) =
        tokio::join!(ask(server, front, remote, &path), ask(server, front, remote, "/openapi/v3"));
    match list {
        Ok(list) => {
            let resources = list["resources"].as_array().cloned().unwrap_or_default();
            let openapi = index.map(|index| {
                let document = &index["paths"][path.trim_start_matches('/')];
                document["serverRelativeURL"].as_str().map(Box::from)
            });
            (Finding::passed(), Some(Described { resources, openapi }))
        }
        Err(why) => {
            let url = format!("https://{}{path}", remote.authority());
            let message = format!("failing or missing response from {url}: {why}");
            (Finding::failed("FailedDiscoveryCheck", message), None)
        }
    }
}

/// What is said of a program that cannot be reached.
fn unreachable(remote: &Remote, lack: &Lack) -> Finding {
    let Target::Service { namespace, name, port, .. } = &remote.target else {
        return Finding::failed("ServiceNotFound", "no service is named".to_owned());
    };
    let service = format!("service/{name} in {namespace:?}");
    match lack {
        Lack::Url | Lack::Service => Finding::failed("ServiceNotFound", format!("{service} is not present")),
        Lack::Port => {
            Finding::failed("ServicePortError", format!("{service} is not listening on port {port}"))
        }
        Lack::Endpoints => {
            Finding::failed("EndpointsNotFound", format!("cannot find endpointslices for {service}"))
        }
        Lack::Addresses(port) => Finding::failed(
            "MissingEndpoints",
            format!("endpointslices for {service} have no addresses with port name {port:?}"),
        ),
    }
}

/// Asks a program, as this server itself, for a JSON document.
///
/// # Errors
/// Says what came instead.
pub(super) async fn ask(
    server: &ApiServer,
    front: &Front,
    remote: &Remote,
    path: &str,
) -> Result<Value, String> {
    let user = identity::administrator("system:kube-aggregator");
    let request = Request::get(path).header(http::header::ACCEPT, body::JSON).body(body::empty());
    let mut request = request.map_err(|error| error.to_string())?;
    let headers = std::mem::take(request.headers_mut());
    *request.headers_mut() = proxy::headers(headers, &user, &remote.authority(), None)?;
    let asked = |why: String| format!("Get \"https://{}{path}\": {why}", remote.authority());
    let answered = async {
        let response = remote.send(server, front, request).await.map_err(asked)?;
        let status = response.status();
        let read = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let bytes = read.map_err(|error| error.to_string())?.to_bytes();
        if !status.is_success() {
            return Err(format!("bad status from https://{}{path}: {}", remote.authority(), status.as_u16()));
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("it is no JSON: {error}"))
    };
    let late = async {
        server.clock().sleep(PATIENCE).await;
        Err(asked("context deadline exceeded".to_owned()))
    };
    tokio::select! {
        answer = answered => answer,
        late = late => late,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut object = json!({});
        let gone = Finding::failed("ServiceNotFound", "a".to_owned());
        assert!(gone.note(&mut object, "1"));
        assert!(!gone.note(&mut object, "2"));
        assert!(Finding::failed("EndpointsNotFound", "b".to_owned()).note(&mut object, "3"));
        let shown = &object["status"]["conditions"][0];
        assert_eq!(
            (&shown["lastTransitionTime"], &shown["reason"]),
            (&json!("1"), &json!("EndpointsNotFound"))
        );
        assert!(Finding::local().note(&mut object, "4"));
        assert_eq!(object["status"]["conditions"][0]["lastTransitionTime"], "4");
    }
}
