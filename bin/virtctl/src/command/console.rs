//! `virtctl console`

use std::time::Duration;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::exactly;
use crate::api::{Api, CallError};
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;
use crate::stdio;
use crate::terminal::Raw;
use crate::tunnel::{HEARTBEAT, Receiver, Sender, Tunnel, TunnelError};

/// Ctrl+], which a terminal also sends for Ctrl+5.
const ESCAPE: u8 = 0x1d;

/// Time between two tries to reach a machine that does not run yet.
const PAUSE: Duration = Duration::from_secs(1);

/// Connect to the serial console of a virtual machine instance.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl console (VMI) [flags]",
    after_help = "Examples:\n  # Connect to the console of 'myvmi'; Ctrl+] leaves it:\n  virtctl console myvmi\n\n  # Give up when 'myvmi' does not run within a minute:\n  virtctl console --timeout=1 myvmi"
)]
pub(crate) struct Console {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
    /// Minutes to wait for the virtual machine instance to run; 0 tries once.
    #[arg(long, default_value_t = 5, value_name = "minutes")]
    timeout: u32,
}

impl Console {
    /// Runs the command.
    ///
    /// # Errors
    /// When the console cannot be reached, or is lost.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = Request::subresource(Verb::Get, &api.namespace, Kind::Instance, name, "console")?;
        let tunnel = tokio::select! {
            tunnel = reach(api, &request, self.timeout) => tunnel?,
            _ = tokio::signal::ctrl_c() => {
                say!("");
                return Ok(());
            }
        };
        let outcome = {
            let _raw = Raw::enter().map_err(|error| anyhow!("make raw terminal failed: {error}"))?;
            eprint!("Successfully connected to {name} console. Press Ctrl+] or Ctrl+5 to exit console.\r\n");
            attach(tunnel).await
        };
        if matches!(outcome, Err(TunnelError::Lost)) {
            eprintln!(
                "\nYou were disconnected from the console. This could be caused by one of the following:\
                 \n - the target VM was powered off\
                 \n - another user connected to the console of the target VM\
                 \n - network issues"
            );
        }
        Ok(outcome?)
    }
}

/// Opens the console. The server answers 400 for a machine that does not run: that may change until the time is up.
async fn reach(api: &Api, request: &Request, minutes: u32) -> Result<Tunnel> {
    let end = Instant::now() + Duration::from_secs(60 * u64::from(minutes));
    loop {
        match api.open(request).await {
            Err(CallError::Refused { code: 400, .. }) if minutes > 0 => {}
            outcome => return Ok(outcome?),
        }
        if Instant::now() >= end {
            return Err(anyhow!("Timeout trying to connect to the virtual machine instance"));
        }
        sleep(PAUSE).await;
    }
}

/// Connects keyboard and screen to the console until either side ends it.
async fn attach(tunnel: Tunnel) -> Result<(), TunnelError> {
    let (mut sender, receiver) = tunnel.split();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let outcome = tokio::select! {
        outcome = keyboard(&mut sender) => outcome,
        outcome = screen(receiver) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    };
    sender.close().await;
    outcome
}

async fn keyboard(sender: &mut Sender) -> Result<(), TunnelError> {
    let mut keys = stdio::input();
    let mut buffer = [0; 1024];
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            read = keys.read(&mut buffer) => {
                let typed = &buffer[..read?];
                let wanted = before_escape(typed);
                if !wanted.is_empty() {
                    sender.send(Bytes::copy_from_slice(wanted)).await?;
                }
                if typed.is_empty() || wanted.len() < typed.len() {
                    return Ok(());
                }
            }
            _ = heartbeat.tick() => sender.heartbeat().await?,
        }
    }
}

async fn screen(mut receiver: Receiver) -> Result<(), TunnelError> {
    let mut screen = stdio::output();
    while let Some(bytes) = receiver.next().await? {
        screen.write_all(&bytes).await?;
        screen.flush().await?;
    }
    Ok(())
}

/// Returns what was typed before the key that leaves the console.
fn before_escape(typed: &[u8]) -> &[u8] {
    typed.split(|byte| *byte == ESCAPE).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_key_is_found_wherever_it_stands() {
        assert_eq!(before_escape(b"ls\r"), b"ls\r");
        assert_eq!(before_escape(b"\x1d"), b"");
        assert_eq!(before_escape(b"ls\r\x1dmore"), b"ls\r");
        assert_eq!(before_escape(b""), b"");
    }
}
