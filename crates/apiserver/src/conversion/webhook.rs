//! A definition's conversion webhook.

use std::time::Duration;

use machinery::gvk::Gvk;
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use crate::peer::{Peer, Silence};
use crate::{ApiServer, Result};

/// How long a webhook may take for its answer, in seconds.
const PATIENCE: u64 = 30;

/// The webhook that converts the objects of one kind.
#[derive(Debug)]
pub(crate) struct Webhook {
    peer: Peer,
    /// The form of question that it takes; nothing if this server knows none of those.
    version: Option<&'static str>,
}

impl Webhook {
    /// Reads it from what a definition says of its conversion.
    pub(super) fn read(webhook: &Value) -> Self {
        let taken = |version: &&str| {
            let all = webhook["conversionReviewVersions"].as_array();
            all.is_some_and(|all| all.iter().any(|one| one == version))
        };
        Self {
            peer: Peer::read(&webhook["clientConfig"]),
            version: ["v1", "v1beta1"].into_iter().find(|version| taken(version)),
        }
    }

    /// Converts objects of one kind to the version `wanted`, in their order.
    ///
    /// # Errors
    /// Says why the webhook did not do it.
    pub(super) async fn convert(
        &self,
        server: &ApiServer,
        wanted: &str,
        objects: Vec<Value>,
    ) -> Result<Vec<Value>> {
        let Some(first) = objects.first() else { return Ok(objects) };
        let from = Gvk::from_object(object::api_version(first), object::kind(first));
        let from = from.map_or_else(|_| wanted.to_owned(), |gvk| gvk.to_string());
        let answer =
            self.ask(server, wanted, &objects).await.and_then(|answer| restored(wanted, objects, answer));
        answer.map_err(|why| {
            Status::unexplained(500, format!("conversion webhook for {from} failed: {why}")).into()
        })
    }

    async fn ask(&self, server: &ApiServer, wanted: &str, objects: &[Value]) -> Result<Vec<Value>, String> {
        let version =
            self.version.ok_or("it takes none of the questions that this server asks: v1, v1beta1")?;
        let uid = server.entropy().uuid();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
        });
        let body = review.to_string().into_bytes();
        let answer = self.peer.post(server, PATIENCE, Duration::from_secs(PATIENCE), body).await;
        let answer = answer.map_err(|silence| match silence {
            Silence::Unreached(why) => format!("Post \"{}?timeout={PATIENCE}s\": {why}", self.peer.url()),
            Silence::Refused(why) => why,
        })?;
        let review: Value =
            serde_json::from_slice(&answer).map_err(|error| format!("its answer is not JSON: {error}"))?;
        let response = response_of(review);
        if response["uid"] != uid {
            return Err(format!("expected response.uid={uid:?}, got {}", response["uid"]));
        }
        if response["result"]["status"] != "Success" {
            let why = response["result"]["message"].as_str().unwrap_or_default();
            return Err(if why.is_empty() { "the conversion failed".to_owned() } else { why.to_owned() });
        }
        match response["convertedObjects"].as_array() {
            Some(converted) if converted.len() == objects.len() => Ok(converted.clone()),
            converted => {
                let count = converted.map_or(0, Vec::len);
                Err(format!("webhook returned {count} objects, expected {}", objects.len()))
            }
        }
    }
}

/// Takes the response out of a review, which somebody else sent: it may be anything that is JSON.
fn response_of(mut review: Value) -> Value {
    review.get_mut("response").map(Value::take).unwrap_or_default()
}

/// Checks what came back, and restores the metadata, of which only labels and annotations may change.
fn restored(wanted: &str, before: Vec<Value>, after: Vec<Value>) -> Result<Vec<Value>, String> {
    let pairs = before.into_iter().zip(after).enumerate();
    pairs
        .map(|(at, (mut old, mut new))| {
            let wrong = |what: &str, found: &str, expected: &str| {
                Err(format!(
                    "returned an invalid object at index {at}: {what} is {found:?}, expected {expected:?}"
                ))
            };
            if object::api_version(&new) != wanted {
                return wrong("apiVersion", object::api_version(&new), wanted);
            }
            if object::kind(&new) != object::kind(&old) {
                return wrong("kind", object::kind(&new), object::kind(&old));
            }
            if !new["metadata"].is_object() {
                return wrong("metadata", "missing", "an object");
            }
            if object::name(&new) != object::name(&old) {
                return wrong("metadata.name", object::name(&new), object::name(&old));
            }
            let mut metadata = old["metadata"].take();
            for name in ["labels", "annotations"] {
                match new["metadata"].get(name).filter(|held| held.is_object()) {
                    Some(held) => metadata[name] = held.clone(),
                    None => {
                        if let Some(fields) = metadata.as_object_mut() {
                            fields.shift_remove(name);
                        }
                    }
                }
            }
            new["metadata"] = metadata;
            Ok(new)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_be_anything() {
        for nonsense in [json!([]), json!("no"), json!(1), json!(true), Value::Null, json!({})] {
            assert_eq!(response_of(nonsense), Value::Null);
        }
        assert_eq!(response_of(json!({"response": {"uid": "x"}})), json!({"uid": "x"}));
    }
}
