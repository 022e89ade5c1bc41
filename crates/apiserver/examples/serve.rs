//! Serves the API on loopback without TLS, everybody being an administrator, and writes a kubeconfig: for trying
//! kubectl, and for replaying recorded answers.
//!
//! `cargo run -p apiserver --example serve -- --port 8001 --kubeconfig /tmp/api.kubeconfig [--data DIR] [--crd FILE]...`

use std::path::PathBuf;
use std::sync::Arc;

use apiserver::ApiServer;
use apiserver::auth::{self, identity};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};

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
        Some(directory) => {
            Arc::new(store::SqliteStore::open(&directory.join("store.db"), store::Retention::default())?)
        }
        None => Arc::new(store::MemoryStore::new()),
    };
    let token_key = Some(Arc::new(certs::SigningKey::create()?));
    let server = ApiServer::builder(store)
        .crds(crds)
        .auth(auth::Settings { token_key, ..auth::Settings::default() })
        .build()
        .await?;
    tokio::spawn(make_service_accounts(server.clone()));
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
                request.extensions_mut().insert(identity::administrator("admin"));
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

/// Stands in for the controllers that give each namespace its default service account and the authority's certificate.
async fn make_service_accounts(server: ApiServer) {
    use apiserver::cache::ObjectKey;
    use apiserver::registry::Collection;
    let namespaces = server.caches().of(&Collection::new("", "namespaces"));
    let (_, _, mut watcher) = namespaces.list_and_watch("");
    loop {
        for namespace in namespaces.snapshot("").0 {
            let name = namespace.key.name.to_string();
            if server
                .object(&Collection::new("", "serviceaccounts"), &ObjectKey::new(&name, "default"))
                .is_some()
            {
                continue;
            }
            let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
            let authority =
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kube-root-ca.crt"}}"#;
            for (plural, object) in [("configmaps", authority), ("serviceaccounts", account)] {
                let mut request = http::Request::post(format!("/api/v1/namespaces/{name}/{plural}"))
                    .body(apiserver::body::full(object))
                    .expect("a request of constant parts");
                request.extensions_mut().insert(identity::administrator("admin"));
                server.handle(request).await;
            }
        }
        if !watcher.next().await.is_ok_and(|changes| !changes.is_empty()) {
            return;
        }
    }
}
