//! A running QEMU, driven over QMP.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use hypervisor::{Attached, Error, Event, Events, GuestAgent, Machine, RunState, ShutdownCause};
use qmp::command;
use tokio::sync::mpsc;

use crate::args::agent::PORT;
use crate::guest_agent::Channel;
use crate::{AGENT_SOCKET, CONTROL_SOCKET};

/// Attaches to the QEMU whose sockets lie in `run_directory`.
pub async fn attach(run_directory: &Path) -> Result<Attached, Error> {
    let (client, events) = qmp::Client::connect(&run_directory.join(CONTROL_SOCKET))
        .await
        .map_err(|error| Error::Attach(error.to_string()))?;
    let socket = run_directory.join(AGENT_SOCKET);
    let agent = socket.exists().then(|| Arc::new(Channel::new(&socket)));
    let machine = Arc::new(QemuMachine { client, agent });
    Ok(Attached { machine, events: translate(events) })
}

#[derive(Debug)]
struct QemuMachine {
    client: qmp::Client,
    agent: Option<Arc<Channel>>,
}

impl QemuMachine {
    async fn run<C: qmp::Command>(&self, command: &C) -> Result<C::Answer, Error> {
        self.client.run(command).await.map_err(|error| match error {
            qmp::Error::Timeout(command) => Error::Timeout { command: command.to_owned() },
            qmp::Error::Refused { command, description, .. } => {
                Error::Refused { command: command.to_owned(), reason: description }
            }
            qmp::Error::Answer { command, source } => {
                Error::Refused { command: command.to_owned(), reason: source.to_string() }
            }
            qmp::Error::Closed | qmp::Error::Connect { .. } | qmp::Error::Handshake(_) => Error::Gone,
        })
    }
}

#[async_trait]
impl Machine for QemuMachine {
    fn hypervisor(&self) -> String {
        format!("{} {}", crate::backend::NAME, self.client.version().qemu)
    }

    async fn state(&self) -> Result<RunState, Error> {
        let status = self.run(&command::QueryStatus {}).await?;
        Ok(match status.status.as_str() {
            "prelaunch" => RunState::Created,
            "running" => RunState::Running,
            "paused" => RunState::Paused,
            "io-error" => RunState::IoError,
            "guest-panicked" => RunState::Panicked,
            "shutdown" => RunState::Ended,
            _ => RunState::Other(status.status),
        })
    }

    async fn resume(&self) -> Result<(), Error> {
        self.run(&command::Cont {}).await?;
        Ok(())
    }

    async fn pause(&self) -> Result<(), Error> {
        self.run(&command::Stop {}).await?;
        Ok(())
    }

    async fn press_power_button(&self) -> Result<(), Error> {
        self.run(&command::SystemPowerdown {}).await?;
        Ok(())
    }

    async fn reset(&self) -> Result<(), Error> {
        self.run(&command::SystemReset {}).await?;
        Ok(())
    }

    async fn stand_still_on_shutdown(&self, still: bool) -> Result<(), Error> {
        self.run(&command::SetAction { shutdown: if still { "pause" } else { "poweroff" } }).await?;
        Ok(())
    }

    async fn screenshot(&self, file: &Path) -> Result<(), Error> {
        self.run(&command::Screendump { filename: file.to_owned(), format: "png" }).await?;
        Ok(())
    }

    async fn set_link(&self, nic: &str, up: bool) -> Result<(), Error> {
        self.run(&command::SetLink { name: format!("nic-{nic}"), up }).await?;
        Ok(())
    }

    async fn quit(&self) -> Result<(), Error> {
        match self.run(&command::Quit {}).await {
            // The process may be gone before its answer is.
            Err(Error::Gone) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn agent(&self) -> Option<Arc<dyn GuestAgent>> {
        self.agent.clone().map(|agent| agent as Arc<dyn GuestAgent>)
    }

    async fn agent_channel_open(&self) -> Result<bool, Error> {
        let devices = self.run(&command::QueryChardev {}).await?;
        Ok(devices.iter().any(|device| device.label == "agent" && device.frontend_open))
    }
}

/// Turns QEMU's events into neutral ones until the connection ends.
fn translate(mut events: qmp::Events) -> Events {
    let (sender, translated) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if sender.send(neutral(event)).is_err() {
                return;
            }
        }
    });
    translated
}

fn neutral(event: qmp::Event) -> Event {
    let cause = if event.flag("guest") { ShutdownCause::Guest } else { ShutdownCause::Host };
    match event.name.as_str() {
        "RESUME" => Event::Resumed,
        "STOP" => Event::Paused,
        "POWERDOWN" => Event::PowerButton,
        "RESET" => Event::Reset { cause },
        "SHUTDOWN" => Event::Shutdown { cause, reason: event.text("reason").to_owned() },
        "GUEST_PANICKED" => Event::Panicked,
        "WATCHDOG" => Event::Watchdog { action: event.text("action").to_owned() },
        "BLOCK_IO_ERROR" => {
            Event::IoError { disk: disk(event.text("qom-path")), reason: event.text("reason").to_owned() }
        }
        "VSERPORT_CHANGE" if event.text("id") == PORT => Event::AgentChannel { open: event.flag("open") },
        _ => Event::Other { name: event.name, data: event.data },
    }
}

/// Finds the disk's name in the path of its device, `/machine/peripheral/disk-NAME/...`.
fn disk(path: &str) -> String {
    path.split('/').find_map(|part| part.strip_prefix("disk-")).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        neutral(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn events_find_their_neutral_names() {
        let off = event(r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}"#);
        assert_eq!(off, Event::Shutdown { cause: ShutdownCause::Guest, reason: "guest-shutdown".to_owned() });
        let failed = event(
            r#"{"event":"BLOCK_IO_ERROR","data":{"qom-path":"/machine/peripheral/disk-root/virtio-backend",
                "reason":"No space left on device","action":"stop","operation":"write"}}"#,
        );
        assert_eq!(
            failed,
            Event::IoError { disk: "root".to_owned(), reason: "No space left on device".to_owned() }
        );
        let open = event(r#"{"event":"VSERPORT_CHANGE","data":{"id":"agent0","open":true}}"#);
        assert_eq!(open, Event::AgentChannel { open: true });
        let raw = event(r#"{"event":"RTC_CHANGE","data":{"offset":1}}"#);
        assert!(matches!(raw, Event::Other { name, .. } if name == "RTC_CHANGE"));
    }
}
