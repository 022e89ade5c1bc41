//! Who is who: the installation's authority, its certificates, and the administrator's kubeconfig.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::aggregation::{Aggregation, Front};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Authority, Issued, Profile, Rotating, SigningKey};
use effects::Clock;
use jiff::Timestamp;
use serde_json::json;

use crate::layout::Layout;

/// Between two looks whether something is due. Certificates are renewed when a third of their life is left, so a look
/// a day would do; more of them forgive clocks that jump.
const LOOK: Duration = Duration::from_secs(6 * 3600);

/// Whom programs that answer API groups let name users.
const FRONT: &str = "front-proxy-client";

/// Keys and certificates of a control plane.
#[derive(Debug)]
pub(super) struct Pki {
    pub(super) authority: Authority,
    pub(super) server: Arc<Rotating>,
    pub(super) token_key: Arc<SigningKey>,
    /// What shows programs that answer API groups that it is the API server which asks.
    pub(super) aggregation: Arc<Aggregation>,
    front_authority: Authority,
    directory: PathBuf,
    /// What the server's certificate must say.
    profile: Profile,
    administrator: Issued,
}

impl Pki {
    /// Loads what an earlier start has made, and makes what is missing or about to expire.
    pub(super) fn load(layout: &Layout, listen: SocketAddr, now: Timestamp) -> Result<Self> {
        let directory = layout.pki();
        let authority =
            Authority::load_or_create(&directory, "ca", now).context("the certificate authority")?;
        let profile = Profile::server("kube-apiserver", names(listen));
        let (server, administrator) = issue(&authority, &directory, &profile, now)?;
        // An authority of its own: who has its certificates may name users.
        let front_authority = Authority::load_or_create(&directory, "front-proxy-ca", now)
            .context("the certificate authority of the front proxy")?;
        let front = issue_front(&front_authority, &directory, now)?;
        let front = Front::new(FRONT, front_authority.certificate_pem(), authority.certificate_pem(), front);
        Ok(Self {
            aggregation: Arc::new(Aggregation::new(front)),
            front_authority,
            server: Rotating::new(server).context("the API server's certificate")?,
            token_key: Arc::new(
                SigningKey::load_or_create(&directory.join("token.key")).context("the token key")?,
            ),
            directory,
            profile,
            authority,
            administrator,
        })
    }

    /// Renews what is due; the server uses a new certificate for connections from now on. Returns whether the
    /// administrator's is a new one.
    fn renew(&mut self, now: Timestamp) -> Result<bool> {
        let (server, administrator) = issue(&self.authority, &self.directory, &self.profile, now)?;
        self.server.replace(server).context("the API server's certificate")?;
        self.aggregation.front().replace(issue_front(&self.front_authority, &self.directory, now)?);
        let is_new = administrator.certificate_pem != self.administrator.certificate_pem;
        self.administrator = administrator;
        Ok(is_new)
    }

    /// Renews certificates and the kubeconfig at `path` before they expire, for ever.
    pub(super) async fn keep_fresh(mut self, path: PathBuf, address: SocketAddr, clock: Arc<dyn Clock>) {
        loop {
            clock.sleep(LOOK).await;
            let renewed = self.renew(clock.now()).and_then(|is_new| {
                if is_new {
                    tracing::info!(kubeconfig = %path.display(), "the administrator's certificate is renewed");
                    self.write_kubeconfig(&path, address)?;
                }
                Ok(())
            });
            if let Err(error) = renewed {
                tracing::error!("cannot renew certificates, will try again: {error:#}");
            }
        }
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

/// Names under which the API server is reached.
fn names(listen: SocketAddr) -> Vec<String> {
    let fixed = [
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.96.0.1",
    ];
    let own = Some(listen.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
    fixed.into_iter().map(str::to_owned).chain(own.map(|ip| ip.to_string())).collect()
}

/// Loads the server's and the administrator's certificate, or issues new ones.
fn issue(
    authority: &Authority,
    directory: &Path,
    server: &Profile,
    now: Timestamp,
) -> Result<(Issued, Issued)> {
    let server = authority
        .load_or_issue(directory, "apiserver", server, now)
        .context("the API server's certificate")?;
    let administrator = Profile::client("kubernetes-admin", "system:masters");
    let administrator = authority
        .load_or_issue(directory, "admin", &administrator, now)
        .context("the administrator's certificate")?;
    Ok((server, administrator))
}

/// Loads the certificate that the API server shows to programs that answer API groups, or issues a new one.
fn issue_front(authority: &Authority, directory: &Path, now: Timestamp) -> Result<Issued> {
    let profile = Profile::client(FRONT, "front-proxy");
    authority.load_or_issue(directory, FRONT, &profile, now).context("the front proxy's certificate")
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

#[cfg(test)]
mod tests {
    use effects::VirtualClock;

    use super::*;
    use crate::cli::DataDir;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[tokio::test(start_paused = true)]
    async fn certificates_and_kubeconfig_are_renewed_while_the_server_runs() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::of(&DataDir { data_dir: Some(directory.path().to_owned()) }).unwrap();
        let address: SocketAddr = "127.0.0.1:6443".parse().unwrap();
        let clock = Arc::new(VirtualClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
        let pki = Pki::load(&layout, address, clock.now()).unwrap();
        let kubeconfig = layout.kubeconfig();
        pki.write_kubeconfig(&kubeconfig, address).unwrap();
        let server = pki.server.clone();
        let files = [kubeconfig.clone(), layout.pki().join("apiserver.crt")];
        let read = || files.clone().map(|file| std::fs::read_to_string(file).unwrap());
        let first = read();

        let keeping = tokio::spawn(pki.keep_fresh(kubeconfig, address, clock.clone()));
        tokio::time::sleep(DAY * 200).await;
        assert_eq!(read(), first, "nothing is due yet");
        tokio::time::sleep(DAY * 60).await;
        let second = read();
        assert!(
            second[0] != first[0] && second[1] != first[1],
            "both are new, a hundred days before they end"
        );
        assert!(!server.due(clock.now()), "the server shows the new one");
        // A year later the first ones would long have ended.
        tokio::time::sleep(DAY * 365).await;
        assert_ne!(read(), second);
        assert!(!server.due(clock.now()));
        keeping.abort();
    }
}
