//! Serves the API on loopback without TLS, everybody being an administrator, and writes a kubeconfig: for trying
//! kubectl, and for replaying recorded answers.
//!
//! `cargo run -p apiserver --example serve -- --port 8001 --kubeconfig /tmp/api.kubeconfig [--data DIR] [--crd FILE]...`

use std::path::PathBuf;
use std::sync::Arc;

use apiserver::ApiServer;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use machinery::admission::UserInfo;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut port, mut kubeconfig, mut data) = (8001u16, PathBuf::from("api.kubeconfig"), None::<PathBuf>);
    let mut crds = Vec::new();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--port" => port = value.parse()?,
            "--kubeconfig" => kubeconfig = value.into(),
            "--data" => data = Some(value.into()),
            "--crd" => crds.push(serde_saphyr::from_str(&std::fs::read_to_string(value)?)?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let store: Arc<dyn store::Store> = match data {
        Some(directory) => Arc::new(store::SqliteStore::open(&directory.join("store.db"), store::Retention::default())?),
        None => Arc::new(store::MemoryStore::new()),
    };
    let server = ApiServer::builder(store).crds(crds).build().await?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: local\nclusters:\n- name: local\n  cluster: {{server: \"http://{address}\"}}\n\
         contexts:\n- name: local\n  context: {{cluster: local, user: admin}}\nusers:\n- name: admin\n  user: {{}}\n"
    );
    std::fs::write(&kubeconfig, config)?;
    println!("serving on http://{address}; kubeconfig in {}", kubeconfig.display());
    loop {
        let (stream, _) = listener.accept().await?;
        let server = server.clone();
        let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            let server = server.clone();
            async move {
                let user = identity(request.headers());
                request.extensions_mut().insert(user);
                let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                Ok::<_, std::convert::Infallible>(server.handle(request).await)
            }
        });
        tokio::spawn(async move {
            let connection = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

/// An administrator, or whom the request impersonates.
fn identity(headers: &http::HeaderMap) -> UserInfo {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let username = text("impersonate-user").unwrap_or_else(|| "admin".to_owned());
    let groups = if username == "admin" { "system:masters" } else { "system:authenticated" };
    UserInfo { username, groups: vec![groups.to_owned()], ..UserInfo::default() }
}
