//! The connection to the server: requests out, answers and tunnels back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

use crate::connection::Place;
use crate::refusal::Answer;
use crate::request::{NameError, Request};
use crate::transport;
use crate::tunnel::{self, Tunnel};

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Name(#[from] NameError),
    /// No answer came.
    #[error("{verb} \"{url}\": {reason}")]
    Unreachable { verb: &'static str, url: String, reason: String },
    /// The server said no.
    #[error("{message}")]
    Refused { code: u16, message: String },
    /// The answer is not what was asked for.
    #[error("the server's answer cannot be read: {0}")]
    Unreadable(serde_json::Error),
}

impl CallError {
    /// Returns the status code of the answer, when there was one.
    pub(crate) fn code(&self) -> Option<u16> {
        if let Self::Refused { code, .. } = self { Some(*code) } else { None }
    }
}

/// A server, as one user.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    server: String,
    patience: Option<Duration>,
    answered: AtomicBool,
    /// The namespace that the user works in.
    pub(crate) namespace: String,
}

/// kube's client, which has no `Debug`.
struct Client(kube::Client);

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}

impl Api {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// When certificates or keys cannot be used.
    pub(crate) fn new(place: Place, patience: Option<Duration>) -> Result<Self, kube::Error> {
        let server = place.config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client(transport::client(place.config)?);
        Ok(Self { client, server, patience, answered: AtomicBool::new(false), namespace: place.namespace })
    }

    /// Returns whether the server has refused something: a reason to compare versions.
    pub(crate) fn was_refused(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The server's address.
    pub(crate) fn address(&self) -> &str {
        &self.server
    }

    /// Returns the client, for what it knows by itself.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.0.clone()
    }

    /// Sends a request and returns the body of its answer.
    ///
    /// # Errors
    /// When no answer comes, or a refusal.
    pub(crate) async fn call(&self, request: &Request) -> Result<Vec<u8>, CallError> {
        let mut message = http::Request::builder()
            .method(request.verb.as_str())
            .uri(&request.path)
            .header(ACCEPT, "application/json, */*");
        let body = match &request.body {
            None => Vec::new(),
            Some(body) => {
                message = message.header(CONTENT_TYPE, request.verb.media_type());
                body.to_string().into_bytes()
            }
        };
        let message = message.body(Body::from(body)).map_err(|error| self.unreachable(request, &error))?;
        let exchange = async {
            let answer = self.client.0.send(message).await;
            let answer = answer.map_err(|error| self.unreachable(request, &error))?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| self.unreachable(request, &error))?.to_bytes();
            Ok::<_, CallError>((parts, body))
        };
        let (parts, body) = self.within_patience(request, exchange).await?;
        for warning in warnings(&parts.headers) {
            eprintln!("Warning: {warning}");
        }
        if parts.status.is_success() {
            return Ok(body.to_vec());
        }
        let message = answer(&parts, &body).to_request(request);
        Err(self.refused(parts.status, message))
    }

    /// Sends a request and reads the JSON of its answer.
    ///
    /// # Errors
    /// When no answer comes, a refusal, or something else than JSON.
    pub(crate) async fn read(&self, request: &Request) -> Result<Value, CallError> {
        serde_json::from_slice(&self.call(request).await?).map_err(CallError::Unreadable)
    }

    /// Opens the tunnel that a request leads to.
    ///
    /// # Errors
    /// When no answer comes, or a refusal.
    pub(crate) async fn open(&self, request: &Request) -> Result<Tunnel, CallError> {
        let key = tunnel::key();
        let message = tunnel::handshake(&request.path, &key)
            .body(Body::empty())
            .map_err(|error| self.unreachable(request, &error))?;
        let sent =
            async { self.client.0.send(message).await.map_err(|error| self.unreachable(request, &error)) };
        let answer = self.within_patience(request, sent).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused_upgrade(request, answer).await);
        }
        tunnel::accept(answer, &key).await.map_err(|error| self.unreachable(request, &error))
    }

    async fn refused_upgrade(&self, request: &Request, refusal: Response<Body>) -> CallError {
        let (parts, body) = refusal.into_parts();
        match body.collect().await {
            Err(error) => self.unreachable(request, &error),
            Ok(body) => {
                let message = answer(&parts, &body.to_bytes()).to_upgrade();
                self.refused(parts.status, message)
            }
        }
    }

    async fn within_patience<T>(
        &self,
        request: &Request,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Some(patience) = self.patience else { return work.await };
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            Err(self.gone(request, "no answer within the time of --request-timeout".to_owned()))
        })
    }

    fn refused(&self, code: StatusCode, message: String) -> CallError {
        self.answered.store(true, Ordering::Relaxed);
        CallError::Refused { code: code.as_u16(), message }
    }

    /// Words a failure by its innermost cause, which is what a user can do something about.
    fn unreachable(&self, request: &Request, error: &dyn std::error::Error) -> CallError {
        let mut causes = Vec::new();
        let mut next = Some(error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        self.gone(request, causes.pop().unwrap_or_default())
    }

    fn gone(&self, request: &Request, reason: String) -> CallError {
        CallError::Unreachable {
            verb: request.verb.title(),
            url: format!("{}{}", self.server, request.path),
            reason,
        }
    }
}

/// What a server has to say beside its answer: `299 - "TEXT"`, with quotes and backslashes behind backslashes.
fn warnings(headers: &http::HeaderMap) -> Vec<String> {
    let texts = headers.get_all(http::header::WARNING).iter().filter_map(|header| header.to_str().ok());
    let quoted = texts.filter_map(|text| {
        let (_, rest) = text.strip_prefix("299 ")?.split_once('"')?;
        let end = rest.rfind('"')?;
        Some(rest[..end].replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    quoted.collect()
}

fn answer<'a>(parts: &http::response::Parts, body: &'a [u8]) -> Answer<'a> {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Answer {
        code: parts.status.as_u16(),
        json: kind.contains("application/json"),
        text: kind.contains("text/plain"),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_without_their_frame() {
        let mut headers = http::HeaderMap::new();
        for text in [
            "299 - \"nothing acts on \\\"it\\\" yet\"",
            "299 agent \"two\"",
            "199 - \"miscellaneous\"",
            "299",
        ] {
            headers.append(http::header::WARNING, text.parse().unwrap());
        }
        assert_eq!(warnings(&headers), ["nothing acts on \"it\" yet", "two"]);
    }
}
