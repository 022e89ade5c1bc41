//! Runs the API server alone: `cargo run -p apiserver --example standalone -- DIRECTORY [ADDRESS]`.
//!
//! Objects, certificates and a kubeconfig for an administrator go into the directory. Nothing else of the system runs,
//! so Pods stay pending; it is for trying the API, and for holding it against recorded answers.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiserver::ApiServer;
use apiserver::auth::Settings;
use apiserver::serve::{Limits, listen};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Issued, Profile, Rotating, SigningKey};
use effects::{Clock as _, SystemClock};
use store::{Retention, SqliteStore};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("name the directory to keep everything in")?);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6443".to_owned()).parse()?;
    std::fs::create_dir_all(&directory)?;
    let now = SystemClock.now();
    let authority = Authority::load_or_create(&directory, "ca", now)?;
    let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
    let own = authority.load_or_issue(&directory, "apiserver", &Profile::server("apiserver", names), now)?;
    let admin =
        authority.load_or_issue(&directory, "admin", &Profile::client("admin", "system:masters"), now)?;
    let token_key = Some(Arc::new(SigningKey::load_or_create(&directory.join("sa.key"))?));
    let store = Arc::new(SqliteStore::open(&directory.join("store.db"), Retention::default())?);
    let crds = api::crd::all();
    let server = ApiServer::builder(store)
        .auth(Settings { token_key, ..Settings::default() })
        .crds(crds)
        .build()
        .await?;
    let listener = listen(address, false).await?;
    let kubeconfig = directory.join("kubeconfig");
    write_kubeconfig(&kubeconfig, &listener.local_addr()?.to_string(), &authority, &admin)?;
    println!("serving; try: kubectl --kubeconfig {} get namespaces", kubeconfig.display());
    let tls = certs::server_config(Rotating::new(own)?, Some(&authority))?;
    let shutdown = CancellationToken::new();
    let ending = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ending.cancel();
        }
    });
    server.serve(listener, tls, Limits::default(), shutdown).await;
    Ok(())
}

fn write_kubeconfig(
    path: &Path,
    address: &str,
    authority: &Authority,
    admin: &Issued,
) -> std::io::Result<()> {
    let ca = STANDARD.encode(authority.certificate_pem());
    let (certificate, key) = (STANDARD.encode(&admin.certificate_pem), STANDARD.encode(&admin.key_pem));
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: standalone
clusters:
- name: standalone
  cluster: {{server: 'https://{address}', certificate-authority-data: {ca}}}
users:
- name: admin
  user: {{client-certificate-data: {certificate}, client-key-data: {key}}}
contexts:
- name: standalone
  context: {{cluster: standalone, user: admin}}
"
    );
    std::fs::write(path, text)
}
