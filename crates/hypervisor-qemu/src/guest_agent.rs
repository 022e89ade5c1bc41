//! The guest's agent over its virtio-serial channel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use hypervisor::{
    AgentError, AgentFacts, FileSystem, GuestAgent, GuestInterface, GuestOs, GuestUser, ProgramEnd,
};
use qmp::agent::{Agent, Error};
use qmp::program::Program;
use tokio::sync::Mutex;

/// How long the agent may take; an emulated guest under load needs seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long file systems may take to be flushed.
const FLUSHING: Duration = Duration::from_secs(60);
/// How long the guest may take to write a password or keys; hashing a password is slow on purpose.
const WRITING: Duration = Duration::from_secs(30);
/// First and longest wait between two looks at a program of the guest.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LATER_LOOK: Duration = Duration::from_secs(1);
/// How long an agent may take to refuse a restart.
const REFUSING: Duration = Duration::from_secs(1);

/// What shells add to the number of the signal that ended a program.
const SIGNALLED: i32 = 128;

/// Most commands that are believed.
const MOST_COMMANDS: usize = 256;
/// Most interfaces, and addresses of one, that are believed.
const MOST: usize = 64;
/// Longest text that is believed, in characters.
const LONGEST: usize = 256;

/// The agent at one machine's channel; connects when it is first asked something.
#[derive(Debug)]
pub(crate) struct Channel {
    path: PathBuf,
    agent: Mutex<Option<Agent>>,
}

impl Channel {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), agent: Mutex::new(None) }
    }

    async fn ask<R>(
        &self,
        question: impl AsyncFnOnce(&mut Agent) -> Result<R, Error>,
    ) -> Result<R, AgentError> {
        let mut slot = self.agent.lock().await;
        let agent = match &mut *slot {
            Some(agent) => agent,
            empty => empty.insert(Agent::connect(&self.path).await.map_err(translate)?),
        };
        let answer = question(agent).await;
        if matches!(answer, Err(Error::Broken(_) | Error::Closed)) {
            *slot = None;
        }
        answer.map_err(translate)
    }
}

fn translate(error: Error) -> AgentError {
    match error {
        Error::Timeout(_) => AgentError::Silent,
        Error::Refused { command, description } => {
            AgentError::Refused { command: command.to_owned(), reason: cut(description) }
        }
        Error::Answer { command, source } => {
            AgentError::Garbage { command: command.to_owned(), reason: cut(source.to_string()) }
        }
        error @ (Error::Connect { .. } | Error::Broken(_) | Error::Closed | Error::TooLong(_)) => {
            AgentError::Channel(cut(error.to_string()))
        }
    }
}

#[async_trait]
impl GuestAgent for Channel {
    async fn ping(&self) -> Result<(), AgentError> {
        self.ask(async |agent| agent.ping(PATIENCE).await).await
    }

    async fn os(&self) -> Result<GuestOs, AgentError> {
        let os = self.ask(async |agent| agent.os_info(PATIENCE).await).await?;
        Ok(GuestOs {
            id: cut(os.id),
            name: cut(os.name),
            pretty_name: cut(os.pretty_name),
            version: cut(os.version),
            version_id: cut(os.version_id),
            kernel_release: cut(os.kernel_release),
            kernel_version: cut(os.kernel_version),
            machine: cut(os.machine),
        })
    }

    async fn hostname(&self) -> Result<String, AgentError> {
        Ok(cut(self.ask(async |agent| agent.host_name(PATIENCE).await).await?))
    }

    async fn interfaces(&self) -> Result<Vec<GuestInterface>, AgentError> {
        let interfaces = self.ask(async |agent| agent.interfaces(PATIENCE).await).await?;
        let believed = interfaces.into_iter().take(MOST).map(|interface| GuestInterface {
            name: cut(interface.name),
            mac: cut(interface.hardware_address).to_lowercase(),
            addresses: interface
                .ip_addresses
                .into_iter()
                .take(MOST)
                .map(|address| cut(address.ip_address))
                .collect(),
        });
        Ok(believed.collect())
    }

    async fn facts(&self) -> Result<AgentFacts, AgentError> {
        let info = self.ask(async |agent| agent.info(PATIENCE).await).await?;
        let commands = info.supported_commands.into_iter().take(MOST_COMMANDS);
        let commands = commands.map(|command| (cut(command.name), command.enabled)).collect();
        Ok(AgentFacts { version: cut(info.version), commands })
    }

    async fn timezone(&self) -> Result<String, AgentError> {
        let timezone = self.ask(async |agent| agent.timezone(PATIENCE).await).await?;
        // As people write it: the name, and how far it is from UTC.
        Ok(format!("{}, {}", cut(timezone.zone), timezone.offset))
    }

    async fn users(&self) -> Result<Vec<GuestUser>, AgentError> {
        let users = self.ask(async |agent| agent.users(PATIENCE).await).await?;
        let believed = users.into_iter().take(MOST).map(|user| GuestUser {
            name: cut(user.user),
            domain: cut(user.domain),
            login_time: user.login_time,
        });
        Ok(believed.collect())
    }

    async fn file_systems(&self) -> Result<Vec<FileSystem>, AgentError> {
        let systems = self.ask(async |agent| agent.file_systems(PATIENCE).await).await?;
        let believed = systems.into_iter().take(MOST).map(|system| FileSystem {
            device: cut(system.name),
            mount_point: cut(system.mountpoint),
            kind: cut(system.kind),
            used_bytes: system.used_bytes,
            total_bytes: system.total_bytes,
            disks: system
                .disk
                .into_iter()
                .take(MOST)
                .map(|disk| (cut(disk.serial), cut(disk.bus_type)))
                .collect(),
        });
        Ok(believed.collect())
    }

    async fn is_frozen(&self) -> Result<bool, AgentError> {
        Ok(self.ask(async |agent| agent.freeze_status(PATIENCE).await).await? == "frozen")
    }

    async fn freeze(&self) -> Result<(), AgentError> {
        self.ask(async |agent| agent.freeze(FLUSHING).await).await?;
        Ok(())
    }

    async fn thaw(&self) -> Result<(), AgentError> {
        self.ask(async |agent| agent.thaw(FLUSHING).await).await?;
        Ok(())
    }

    async fn authorize_keys(&self, user: &str, keys: &[String]) -> Result<(), AgentError> {
        self.ask(async |agent| agent.authorize_keys(user, keys, WRITING).await).await
    }

    async fn set_password(&self, user: &str, password: &str) -> Result<(), AgentError> {
        self.ask(async |agent| agent.set_password(user, password, WRITING).await).await
    }

    async fn run(&self, command: &[String], limit: Duration) -> Result<ProgramEnd, AgentError> {
        let Some((program, arguments)) = command.split_first() else { return Ok(ProgramEnd::default()) };
        let ended = async {
            let number = self.ask(async |agent| agent.execute(program, arguments, PATIENCE).await).await?;
            let mut wait = FIRST_LOOK;
            loop {
                let program = self.ask(async |agent| agent.program(number, PATIENCE).await).await?;
                if program.exited {
                    return end_of(&program);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LATER_LOOK);
            }
        };
        tokio::time::timeout(limit, ended).await.unwrap_or(Err(AgentError::Silent))
    }

    async fn reboot(&self) -> Result<(), AgentError> {
        self.ask(async |agent| agent.reboot(REFUSING).await).await
    }
}

/// Reads how a program ended, as shells write it. An agent that tells neither code nor signal has not said that all is well.
fn end_of(program: &Program) -> Result<ProgramEnd, AgentError> {
    let code = program.exitcode.or_else(|| program.signal.map(|signal| signal.saturating_add(SIGNALLED)));
    let silent = || AgentError::Garbage {
        command: "guest-exec-status".to_owned(),
        reason: "the program has exited with neither a code nor a signal".to_owned(),
    };
    Ok(ProgramEnd { code: code.ok_or_else(silent)?, output: cut(program.output()) })
}

/// Shortens a guest's text and takes out what would confuse a terminal.
fn cut(text: String) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_program_is_the_guests_word() {
        let of = |told: serde_json::Value| end_of(&serde_json::from_value(told).expect("an answer"));
        for (told, code) in [
            (json!({"exited": true, "exitcode": 0}), 0),
            (json!({"exited": true, "exitcode": 3, "signal": 9}), 3),
            (json!({"exited": true, "signal": 9}), 137),
            (json!({"exited": true, "signal": 2_147_483_647}), i32::MAX),
        ] {
            assert_eq!(of(told.clone()).expect("an end").code, code, "{told}");
        }
        assert!(matches!(of(json!({"exited": true})), Err(AgentError::Garbage { .. })));
    }

    #[test]
    fn an_answer_that_does_not_parse_is_not_quoted_at_length() {
        let text = "A".repeat(100_000) + "\x1b[31m";
        let source = serde_json::from_value::<u8>(json!(text)).expect_err("no number");
        assert!(source.to_string().len() > 100_000);
        let AgentError::Garbage { reason, .. } = translate(Error::Answer { command: "guest-exec", source })
        else {
            panic!("garbage");
        };
        assert_eq!(reason.chars().count(), LONGEST);
    }

    #[test]
    fn a_guests_text_is_shortened_and_cleaned() {
        assert_eq!(cut("Debian\x1b[31m\n12".to_owned()), "Debian[31m12");
        assert_eq!(cut("x".repeat(1000)).len(), 256);
    }
}
