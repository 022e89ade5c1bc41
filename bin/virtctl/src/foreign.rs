//! Servers that are none of Kubernetes: those that give exports and take uploads.

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

/// What is sent.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, std::io::Error>;

type Exchange = dyn Fn(Request<Outgoing>) -> BoxFuture<'static, Result<Response<Incoming>>> + Send + Sync;

/// A way to such a server.
pub(crate) struct Foreign(Box<Exchange>);

impl Foreign {
    /// Prepares to talk to the server of a URL. `authority` has the certificates, in PEM, that must have signed its own; without,
    /// it is whom this machine trusts. An `insecure` one is trusted whoever it is.
    ///
    /// # Errors
    /// When the URL or the certificates cannot be used.
    pub(crate) async fn new(url: &Uri, authority: Option<&str>, insecure: bool) -> Result<Self> {
        let host = url.authority().with_context(|| format!("{url} names no server"))?;
        let mut cluster = json!({"server": format!("{}://{host}", url.scheme_str().unwrap_or("https"))});
        match authority.filter(|certificates| !certificates.trim().is_empty()) {
            _ if insecure => cluster["insecure-skip-tls-verify"] = true.into(),
            Some(certificates) => {
                cluster["certificate-authority-data"] = STANDARD.encode(certificates).into();
            }
            None => {}
        }
        // The kubeconfig's reader knows what to do with certificates.
        let file: Kubeconfig = serde_json::from_value(json!({
            "clusters": [{"name": "one", "cluster": cluster}],
            "contexts": [{"name": "one", "context": {"cluster": "one"}}],
            "current-context": "one",
        }))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let connector = config.rustls_https_connector_with_connector(connector)?;
        let client: Client<_, Outgoing> = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self(Box::new(move |request| {
            let answer = client.request(request);
            Box::pin(async move { answer.await.map_err(|error| anyhow!("{}", innermost(&error))) })
        })))
    }

    /// Sends a request, whose URL names the server.
    ///
    /// # Errors
    /// When no answer comes.
    pub(crate) async fn send(&self, request: Request<Outgoing>) -> Result<Response<Incoming>> {
        (self.0)(request).await
    }
}

/// A failure by its innermost cause, which is what a user can do something about.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Nothing to send.
pub(crate) fn nothing() -> Outgoing {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Writes a status as HTTP does.
pub(crate) fn status<B>(response: &Response<B>) -> String {
    let code = response.status();
    format!("{} {}", code.as_u16(), code.canonical_reason().unwrap_or_default()).trim_end().to_owned()
}
