//! Ways to an API server: by a kubeconfig file, or by a service in this process.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response};
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::{ApiError, Key};

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file is missing or is not a kubeconfig.
    #[error("cannot read the kubeconfig {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// The file names certificates or an address that cannot be used.
    #[error("the kubeconfig {path} cannot be used: {source}")]
    Use {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: kube::Error,
    },
}

/// Makes a client for the current context of a kubeconfig. Nothing is sent yet.
///
/// # Errors
/// When the file cannot be read or used.
pub async fn connect(path: &Path) -> Result<Client, ConnectError> {
    connect_as(path, "ironclad").await
}

/// Makes a client as [`connect`] does, which calls itself `component`: the API server's audit log and the owners of
/// fields show that name.
///
/// # Errors
/// When the file cannot be read or used.
pub async fn connect_as(path: &Path, component: &'static str) -> Result<Client, ConnectError> {
    let unreadable = |source| ConnectError::Read { path: path.to_owned(), source };
    let file = Kubeconfig::read_from(path).map_err(unreadable)?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(unreadable)?;
    config.headers.push((USER_AGENT, HeaderValue::from_static(component)));
    Client::try_from(config).map_err(|source| ConnectError::Use { path: path.to_owned(), source })
}

/// Makes a client that calls an API server in this process, and calls itself `component` as in [`connect_as`].
pub fn in_process<S, B>(service: S, component: &'static str) -> Client
where
    S: tower::Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<tower::BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    let named = tower::util::MapRequest::new(service, move |mut request: Request<Body>| {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(component));
        request
    });
    Client::new(named, "default")
}

/// Reads the log of a Pod's container so far; `None` while it has none.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn container_log(client: &Client, pod: &Key, container: &str) -> Result<Option<String>, ApiError> {
    let operation = format!("read log of pods {pod}");
    let url = format!("/api/v1/namespaces/{}/pods/{}/log?container={container}", pod.namespace, pod.name);
    let request = Request::get(url)
        .body(Vec::new())
        .map_err(|error| ApiError::new(operation.clone(), kube::Error::HttpError(error)))?;
    match client.request_text(request).await {
        Ok(text) => Ok(Some(text)),
        Err(kube::Error::Api(_)) => Ok(None),
        Err(error) => Err(ApiError::new(operation, error)),
    }
}
