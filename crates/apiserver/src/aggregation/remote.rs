//! A program that answers one version of a group, and the way to it.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use machinery::object;
use parking_lot::Mutex;
use rustls::ClientConfig;
use serde_json::Value;

use super::front::Front;
use crate::peer::call::{self, Trust};
use crate::peer::target::{Address, Lack, Target};
use crate::{ApiServer, Body};

/// What an `APIService` with a Service says.
#[derive(Debug)]
pub(super) struct Remote {
    /// The `spec` that all this was read from.
    pub(super) spec: Value,
    pub(super) group: Box<str>,
    pub(super) version: Box<str>,
    /// `groupPriorityMinimum` and `versionPriority`.
    pub(super) priority: (i64, i64),
    pub(super) target: Target,
    trust: Trust,
    /// Made once for each certificate that [`Front`] shows: without a `caBundle`, all of the system's authorities are read.
    tls: Mutex<Option<(u64, Tls)>>,
}

type Tls = Result<Arc<ClientConfig>, String>;

impl Remote {
    /// Reads an `APIService`; nothing where this server answers itself. Its name says which version it is for: one that
    /// says another is not heeded.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let spec = object.get("spec").filter(|spec| spec["service"].is_object())?;
        let (group, version) = (object::str_at(spec, &["group"]), object::str_at(spec, &["version"]));
        if object::name(object) != format!("{version}.{group}") {
            return None;
        }
        let number = |field: &str| spec[field].as_i64().unwrap_or_default();
        let trust = match object::str_at(spec, &["caBundle"]) {
            _ if spec["insecureSkipTLSVerify"] == true => Trust::Anybody,
            "" => Trust::System,
            bundle => Trust::Bundle(bundle.to_owned()),
        };
        Some(Self {
            group: group.into(),
            version: version.into(),
            priority: (number("groupPriorityMinimum"), number("versionPriority")),
            target: Target::read(spec),
            trust,
            tls: Mutex::default(),
            spec: spec.clone(),
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

    /// What stands behind its Service now.
    pub(super) fn behind(&self, server: &ApiServer) -> Result<Vec<Address>, Lack> {
        self.target.behind(server)
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
        let addresses = self.target.addresses(server)?;
        let stream = call::open(&self.target, &addresses, &tls).await?;
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
        // It ends with the answer's body, or with what it is upgraded to.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(|error| error.to_string())
    }

    fn tls(&self, front: &Front) -> Tls {
        let (number, identity) = front.identity();
        let mut made = self.tls.lock();
        if let Some((_, tls)) = made.as_ref().filter(|(of, _)| *of == number) {
            return tls.clone();
        }
        let identity = identity.map_err(|error| error.to_string());
        let tls = identity.and_then(|identity| call::configure(&self.trust, Some(identity)));
        *made = Some((number, tls.clone()));
        tls
    }
}

#[cfg(test)]
mod tests {
    use certs::{Authority, Profile};
    use serde_json::json;

    use super::*;

    #[test]
    fn certificates_are_read_once_and_again_when_another_is_shown() {
        let now = "2027-01-01T00:00:00Z".parse().expect("a time");
        let authority = Authority::create("front-proxy-ca", now).expect("an authority");
        let issue = || authority.issue(&Profile::client("front", "none"), now).expect("a certificate");
        let front = Front::new("front", authority.certificate_pem(), authority.certificate_pem(), issue());
        let spec = json!({"group": "g.test", "version": "v1", "service": {"namespace": "a", "name": "b"}});
        let remote =
            Remote::read(&json!({"metadata": {"name": "v1.g.test"}, "spec": spec})).expect("it is one");
        let (first, again) = (remote.tls(&front).expect("TLS"), remote.tls(&front).expect("TLS"));
        assert!(Arc::ptr_eq(&first, &again));
        front.replace(issue());
        assert!(!Arc::ptr_eq(&first, &remote.tls(&front).expect("TLS")));
    }

    #[test]
    fn an_object_counts_for_the_version_that_it_is_named_for() {
        let spec = json!({"group": "g.test", "version": "v1", "service": {"namespace": "a", "name": "b"}});
        let read =
            |name: &str, spec: &Value| Remote::read(&json!({"metadata": {"name": name}, "spec": spec}));
        assert!(read("v1.g.test", &spec).is_some());
        assert!(read("v2.g.test", &spec).is_none());
        assert!(read("v1.g.test", &json!({"group": "g.test", "version": "v1"})).is_none());
    }
}
