//! A program that answers one version of a group, and the way to it.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use machinery::object;
use rustls::ClientConfig;
use serde_json::Value;

use super::front::Front;
use crate::peer::call::{self, Trust};
use crate::peer::target::Target;
use crate::{ApiServer, Body};

/// What an `APIService` with a Service says.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) group: Box<str>,
    pub(super) version: Box<str>,
    /// `groupPriorityMinimum` and `versionPriority`.
    pub(super) priority: (i64, i64),
    pub(super) namespace: String,
    pub(super) service: String,
    pub(super) port: u16,
    /// Whether it answered when it was asked last.
    pub(super) available: bool,
    target: Target,
    trust: Trust,
}

impl Remote {
    /// Reads an `APIService`; nothing where this server answers itself.
    pub(super) fn read(object: &Value, available: bool) -> Option<Self> {
        let spec = &object["spec"];
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |field: &str| object::str_at(service, &[field]).to_owned();
        let number = |field: &str| spec[field].as_i64().unwrap_or_default();
        let trust = match object::str_at(spec, &["caBundle"]) {
            _ if spec["insecureSkipTLSVerify"] == true => Trust::Anybody,
            "" => Trust::System,
            bundle => Trust::Bundle(bundle.to_owned()),
        };
        Some(Self {
            group: object::str_at(spec, &["group"]).into(),
            version: object::str_at(spec, &["version"]).into(),
            priority: (number("groupPriorityMinimum"), number("versionPriority")),
            namespace: text("namespace"),
            service: text("name"),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            available,
            target: Target::read(spec),
            trust,
        })
    }

    /// Where its version begins.
    pub(super) fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }

    /// Host and port as requests name them.
    pub(super) fn authority(&self) -> String {
        self.target.authority()
    }

    /// Sends a request to the first endpoint that takes the connection.
    ///
    /// # Errors
    /// Says why there is no answer.
    pub(super) async fn send(
        &self,
        server: &ApiServer,
        front: &Front,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, String> {
        let tls = self.tls(front)?;
        let mut failure = String::new();
        for address in self.target.addresses(server)? {
            match call::connect(&self.target, &address, &tls).await {
                Ok(stream) => {
                    let opened = http1::handshake(TokioIo::new(stream)).await;
                    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
                    // It ends with the answer's body, or with what it is upgraded to.
                    tokio::spawn(connection.with_upgrades());
                    return sender.send_request(request).await.map_err(|error| error.to_string());
                }
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    fn tls(&self, front: &Front) -> Result<Arc<ClientConfig>, String> {
        let identity = front.identity().map_err(|error| error.to_string())?;
        call::configure(&self.trust, Some(identity))
    }
}
