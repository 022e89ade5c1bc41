//! `virtctl usbredir`

use std::process::Stdio;

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::exactly;
use crate::log;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;
use crate::tunnel::join;

/// The program that reads a device of this machine.
const CLIENT: &str = "usbredirect";

/// Give a USB device of this machine to a virtual machine instance.
///
/// The device is vendor:product or bus-device. The local usbredirect reads it; the instance needs
/// spec.domain.devices.clientPassthrough.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl usbredir (vendor:product | bus-device) (VMI) [flags]",
    after_help = "Examples:\n  # The device with this vendor and product, as lsusb shows them:\n  virtctl usbredir 0951:1666 myvmi\n\n  # The device at this place:\n  virtctl usbredir 02-03 myvmi\n\n  # Print a port that usbredirect can connect to, and start none:\n  virtctl usbredir myvmi --no-launch"
)]
pub(crate) struct UsbRedirection {
    #[arg(hide = true, value_name = "DEVICE VMI")]
    arguments: Vec<String>,
    /// Start no usbredirect: print the port and wait for one.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    no_launch: bool,
}

impl UsbRedirection {
    /// Runs the command.
    ///
    /// # Errors
    /// When usbredirect is missing or fails, or the instance cannot be reached.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let (device, name) = match self.arguments.as_slice() {
            [name] if self.no_launch => (None, name),
            [device, name] if !self.no_launch => (Some(device), name),
            [_] => bail!("Missing argument"),
            other => {
                let [name] = exactly(other)?;
                (None, name)
            }
        };
        if device.is_some() && !is_installed(&std::env::var_os("PATH").unwrap_or_default()) {
            bail!(
                "Error on finding {CLIENT} in $PATH: exec: {CLIENT:?}: executable file not found in $PATH; \
                 install it, or start it elsewhere with --no-launch"
            );
        }
        let api = session.api().await?;
        let request = Request::subresource(Verb::Get, &api.namespace, Kind::Instance, name, "usbredir")?;
        let tunnel = api.open(&request).await.map_err(|error| anyhow!("Can't access VMI {name}: {error}"))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let carried = async {
            let (client, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            let (reader, writer) = client.into_split();
            anyhow::Ok(join(tunnel, reader, writer).await?)
        };
        let read = async {
            if let Some(device) = device {
                return launch(device, &address).await;
            }
            say!("User can connect usbredir client at: {address}");
            std::future::pending().await
        };
        tokio::select! {
            outcome = carried => outcome,
            outcome = read => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }
}

fn is_installed(path: &std::ffi::OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(CLIENT).is_file())
}

async fn launch(device: &str, address: &str) -> Result<()> {
    let ended = Command::new(CLIENT)
        .args(["--device", device, "--to", address])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| anyhow!("exec: {CLIENT:?}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    log::error("usbredir", &format!("{CLIENT} said: {}", String::from_utf8_lossy(&ended.stderr)));
    match ended.status.code() {
        Some(code) => bail!("exit status {code}"),
        None => bail!("{}", ended.status),
    }
}
