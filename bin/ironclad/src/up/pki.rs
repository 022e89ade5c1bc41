//! Who is who: the installation's authority, its certificates, and the administrator's kubeconfig.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Issued, Profile, Rotating, SigningKey};
use jiff::Timestamp;
use serde_json::json;

use crate::layout::Layout;

/// Keys and certificates of a control plane.
#[derive(Debug)]
pub(super) struct Pki {
    pub(super) authority: Authority,
    pub(super) server: Arc<Rotating>,
    pub(super) token_key: Arc<SigningKey>,
    administrator: Issued,
}

impl Pki {
    /// Loads what an earlier start has made, and makes what is missing or about to expire.
    pub(super) fn load(layout: &Layout, listen: SocketAddr, now: Timestamp) -> Result<Self> {
        let directory = layout.pki();
        let authority =
            Authority::load_or_create(&directory, "ca", now).context("the certificate authority")?;
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            "kubernetes.default.svc".to_owned(),
            "kubernetes.default.svc.cluster.local".to_owned(),
            "10.96.0.1".to_owned(),
        ];
        if !listen.ip().is_unspecified() && !listen.ip().is_loopback() {
            names.push(listen.ip().to_string());
        }
        let server = authority
            .load_or_issue(&directory, "apiserver", &Profile::server("kube-apiserver", names), now)
            .context("the API server's certificate")?;
        let administrator = authority
            .load_or_issue(&directory, "admin", &Profile::client("kubernetes-admin", "system:masters"), now)
            .context("the administrator's certificate")?;
        Ok(Self {
            server: Rotating::new(server).context("the API server's certificate")?,
            token_key: Arc::new(
                SigningKey::load_or_create(&directory.join("token.key")).context("the token key")?,
            ),
            authority,
            administrator,
        })
    }

    /// Writes what `kubectl` needs to be the administrator of the server at `address`.
    pub(super) fn write_kubeconfig(&self, path: &Path, address: SocketAddr) -> Result<()> {
        let encode = |text: &str| STANDARD.encode(text);
        let host =
            if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "ironclad", "cluster": {
                "server": format!("https://{host}:{}", address.port()),
                "certificate-authority-data": encode(self.authority.certificate_pem()),
            }}],
            "users": [{"name": "ironclad-admin", "user": {
                "client-certificate-data": encode(&self.administrator.certificate_pem),
                "client-key-data": encode(&self.administrator.key_pem),
            }}],
            "contexts": [{"name": "ironclad", "context": {"cluster": "ironclad", "user": "ironclad-admin"}}],
            "current-context": "ironclad",
        });
        let text = serde_saphyr::to_string(&document).context("writing the kubeconfig")?;
        write_private(path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
    }
}

/// Replaces a file in one step, readable by its owner only.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let partial = path.with_extension("partial");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    std::fs::rename(partial, path)
}
