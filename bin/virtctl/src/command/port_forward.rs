//! `virtctl port-forward`

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};

use crate::forward::{Destination, listen};
use crate::session::Session;
use crate::stdio;
use crate::target::{Forward, Target};
use crate::tunnel::{TunnelError, join};
use crate::usage::UsageError;

/// Forward local ports to a virtual machine or virtual machine instance.
///
/// The target is type/name or type/name/namespace; the type is any of vm, vms, virtualmachine, virtualmachines, vmi, vmis,
/// virtualmachineinstance, virtualmachineinstances. A port is [protocol/]local[:remote]; the protocol is tcp or udp.
///
/// Everything travels through the Kubernetes API server. For much of it, a Service is the better way.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl port-forward type/name[/namespace] [protocol/]localPort[:targetPort]... [flags]",
    after_help = "Examples:\n  # Forward port 8080 to the same port of 'myvm':\n  virtctl port-forward vm/myvm 8080\n\n  # Forward port 8080 to port 80, and port 2222 to port 22:\n  virtctl port-forward vm/myvm 8080:80 2222:22\n\n  # Forward port 5353 to the UDP port 53 of a machine in another namespace:\n  virtctl port-forward vmi/myvmi/mynamespace udp/5353:53\n\n  # Connect standard input and output to port 22:\n  virtctl port-forward --stdio vm/myvm 22"
)]
pub(crate) struct PortForward {
    #[arg(hide = true, value_name = "TARGET PORT")]
    arguments: Vec<String>,
    /// Address to listen on. 0.0.0.0 lets everybody in who reaches this machine.
    #[arg(long, default_value = "127.0.0.1", value_name = "address")]
    address: String,
    /// Connect standard input and output to the only port.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    stdio: bool,
}

impl PortForward {
    /// Runs the command.
    ///
    /// # Errors
    /// When a port cannot be listened on; with `--stdio`, also when the machine cannot be reached or is lost.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [target, ports @ ..] = self.arguments.as_slice() else { return Err(UsageError::Ports(0).into()) };
        if ports.is_empty() {
            return Err(UsageError::Ports(1).into());
        }
        let target = Target::parse(target)?;
        let ports: Vec<_> = ports.iter().map(|port| Forward::parse(port)).collect::<Result<_, _>>()?;
        let api = session.api().await?;
        let destination = Destination::new(api, target);
        if self.stdio {
            let [port] = ports.as_slice() else { bail!("only one port supported when forwarding to stdout") };
            let tunnel = destination.open(*port).await?;
            return match join(tunnel, stdio::input(), stdio::output()).await {
                // Whoever wrote to the pipe has what it wanted.
                Err(TunnelError::Local(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                outcome => Ok(outcome?),
            };
        }
        let address = resolve(&self.address).await?;
        for port in ports {
            listen(destination.clone(), address, port).await?;
        }
        tokio::signal::ctrl_c().await?;
        Ok(())
    }
}

async fn resolve(address: &str) -> Result<IpAddr> {
    if address.is_empty() {
        return Ok(Ipv4Addr::UNSPECIFIED.into());
    }
    let mut found =
        tokio::net::lookup_host((address, 0)).await.map_err(|error| anyhow!("lookup {address}: {error}"))?;
    found.next().map(|found| found.ip()).ok_or_else(|| anyhow!("lookup {address}: no such host"))
}
