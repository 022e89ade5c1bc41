//! `virtctl vnc`

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args, Subcommand};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::exactly;
use super::screenshot::Screenshot;
use crate::api::Api;
use crate::log;
use crate::request::{Kind, NameError, Request, Verb};
use crate::say::say;
use crate::session::Session;
use crate::tunnel::{Receiver, TunnelError, join_halves};

/// Time that a viewer which was started here has to connect.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that are kept while nobody looks. A screen says a dozen and then waits for its viewer's answer.
const EARLY: usize = 64 << 10;

/// Look at the screen of a virtual machine instance.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl vnc (VMI) [flags]\n  virtctl vnc screenshot (VMI) [flags]",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  # Look at the screen of 'myvmi' with remote-viewer or vncviewer:\n  virtctl vnc myvmi\n\n  # Print a port that any viewer can connect to:\n  virtctl vnc myvmi --proxy-only"
)]
pub(crate) struct Vnc {
    #[command(subcommand)]
    command: Option<VncCommand>,
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
    /// Address to listen on; only with --proxy-only. 0.0.0.0 lets everybody in who reaches this machine.
    #[arg(long, default_value = "127.0.0.1", value_name = "address")]
    address: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0, value_name = "port")]
    port: u16,
    /// Keep the session of somebody who looks already, instead of ending it.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    preserve_session: bool,
    /// Start no viewer: print the port as JSON and wait for one.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    proxy_only: bool,
    /// Viewer to start; needs --vnc-type.
    #[arg(long, value_name = "file")]
    vnc_path: Option<PathBuf>,
    /// Kind of the viewer at --vnc-path: tiger or remote-viewer.
    #[arg(long, value_name = "type")]
    vnc_type: Option<String>,
}

#[derive(Debug, Subcommand)]
enum VncCommand {
    Screenshot(Screenshot),
}

impl Vnc {
    /// Runs the command.
    ///
    /// # Errors
    /// When the screen cannot be reached, or nobody can look at it.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        if let Some(VncCommand::Screenshot(screenshot)) = &self.command {
            return screenshot.run(session).await;
        }
        let [name] = exactly(&self.arguments)?;
        let viewer = self.viewer()?;
        let api = session.api().await?;
        let request = request(&api.namespace, name, self.preserve_session)?;
        let tunnel = api.open(&request).await.map_err(|error| anyhow!("can't access VMI {name}: {error}"))?;
        let address = if self.proxy_only { self.address.as_str() } else { "127.0.0.1" };
        let listener = TcpListener::bind((address, self.port))
            .await
            .map_err(|error| anyhow!("can't listen on {address}:{}: {error}", self.port))?;
        let port = listener.local_addr()?.port();
        let looked = async {
            let (sender, mut receiver) = tunnel.split();
            let mut early = Vec::new();
            let mut client = tokio::select! {
                accepted = accept(&listener, viewer.is_some()) => accepted?,
                ended = collect(&mut receiver, &mut early) => return ended.map_err(Into::into),
            };
            warn_when_paused(api, name).await;
            client.set_nodelay(true)?;
            client.write_all(&early).await?;
            let (reader, writer) = client.into_split();
            Ok(join_halves((sender, receiver), reader, writer).await?)
        };
        let shown = async {
            match &viewer {
                None => {
                    say!("{}", json!({"port": port}));
                    std::future::pending().await
                }
                Some(viewer) => viewer.show(port).await,
            }
        };
        tokio::select! {
            outcome = looked => outcome,
            outcome = shown => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
        .map_err(|error| anyhow!("error encountered: {error}"))
    }

    fn viewer(&self) -> Result<Option<Viewer>> {
        let missing = |flag| {
            anyhow!(
                "if any flags in the group [vnc-type vnc-path] are set they must all be set; missing [{flag}]"
            )
        };
        match (&self.vnc_type, &self.vnc_path) {
            (None, Some(_)) => Err(missing("vnc-type")),
            (Some(_), None) => Err(missing("vnc-path")),
            _ if self.proxy_only => Ok(None),
            (Some(kind), Some(path)) => Viewer::named(kind, path.clone()).map(Some),
            (None, None) => Viewer::installed(std::env::var_os("PATH").unwrap_or_default()).map(Some),
        }
    }
}

fn request(namespace: &str, name: &str, preserve_session: bool) -> Result<Request, NameError> {
    let request = Request::subresource(Verb::Get, namespace, Kind::Instance, name, "vnc")?;
    Ok(request.with_parameter("preserveSession", preserve_session))
}

/// Waits for the viewer: for a time when it was started here, else until it comes.
async fn accept(listener: &TcpListener, started_here: bool) -> Result<TcpStream> {
    let accepted = if started_here {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        accepted.map_err(|_| anyhow!("no viewer has connected within {} seconds", PATIENCE.as_secs()))?
    } else {
        listener.accept().await
    };
    Ok(accepted?.0)
}

/// Keeps what the screen says before anybody looks, until the screen goes away.
async fn collect(receiver: &mut Receiver, early: &mut Vec<u8>) -> Result<(), TunnelError> {
    while early.len() < EARLY {
        match receiver.next().await? {
            Some(bytes) => early.extend_from_slice(&bytes),
            None => return Ok(()),
        }
    }
    std::future::pending().await
}

/// A paused machine shows a still picture, which looks like a fault.
async fn warn_when_paused(api: &Api, name: &str) {
    let Ok(request) = Request::object(&api.namespace, Kind::Instance, name) else { return };
    let Ok(answer) = api.call(&request).await else { return };
    let instance: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let conditions = instance["status"]["conditions"].as_array();
    let paused = |condition: &Value| condition["type"] == "Paused" && condition["status"] == "True";
    if conditions.is_some_and(|conditions| conditions.iter().any(paused)) {
        eprintln!("\rWarning: {name} is paused. Console will be active after unpause.");
    }
}

/// A program that shows a screen.
#[derive(Debug, PartialEq, Eq)]
struct Viewer {
    program: PathBuf,
    /// Whether it wants an address in the form of a URL.
    url: bool,
}

impl Viewer {
    fn named(kind: &str, program: PathBuf) -> Result<Self> {
        let url = match kind {
            "tiger" => false,
            "remote-viewer" => true,
            _ => bail!("unsupported vnc-type for linux: {kind}"),
        };
        if !program.exists() {
            bail!("specified VNC path does not exist: {}", program.display());
        }
        Ok(Self { program, url })
    }

    fn installed(path: std::ffi::OsString) -> Result<Self> {
        let known = [("remote-viewer", true), ("vncviewer", false)];
        for (program, url) in known {
            if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
                return Ok(Self { program: program.into(), url });
            }
        }
        bail!("could not find remote-viewer or vncviewer binary in $PATH")
    }

    fn arguments(&self, port: u16) -> Vec<String> {
        let scheme = if self.url { "vnc://" } else { "" };
        vec![format!("{scheme}127.0.0.1:{port}")]
    }

    async fn show(&self, port: u16) -> Result<()> {
        let ended = Command::new(&self.program)
            .args(self.arguments(port))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| anyhow!("{}: {error}", self.program.display()))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            log::error("vnc", &format!("{} {}: {said}", self.program.display(), ended.status));
            bail!("{} ended with {}", self.program.display(), ended.status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_says_whether_another_session_stays() {
        let request = request("ns", "vm1", true).unwrap();
        assert!(request.path.ends_with("/virtualmachineinstances/vm1/vnc?preserveSession=true"));
    }

    #[test]
    fn viewers_are_found_and_named() {
        let folder = std::env::temp_dir().join(format!("virtctl-viewers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = || folder.clone().into_os_string();
        assert!(Viewer::installed(path()).unwrap_err().to_string().contains("remote-viewer or vncviewer"));
        std::fs::write(folder.join("vncviewer"), "").unwrap();
        assert_eq!(Viewer::installed(path()).unwrap().arguments(5), ["127.0.0.1:5"]);
        std::fs::write(folder.join("remote-viewer"), "").unwrap();
        assert_eq!(Viewer::installed(path()).unwrap().arguments(5), ["vnc://127.0.0.1:5"]);

        assert!(Viewer::named("tiger", folder.join("vncviewer")).is_ok());
        assert!(Viewer::named("tiger", folder.join("none")).unwrap_err().to_string().contains("none"));
        assert!(Viewer::named("chicken", folder.join("vncviewer")).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
