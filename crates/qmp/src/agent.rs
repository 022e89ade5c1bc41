//! The guest agent's protocol: like QMP, but without ids and with an untrusted peer.
//!
//! The channel has no beginning: an agent may have been asked something by somebody who is gone. So every
//! session starts with the byte 0xFF, which resets the agent's parser, and `guest-sync-delimited`, whose answer
//! begins with 0xFF and carries our number. Whenever an answer does not come in time the session is void and
//! the next question starts a new one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::line::Lines;

/// Longest answer that is read: the guest must not fill the host's memory.
const LONGEST_ANSWER: usize = 256 << 10;

/// Why the agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the channel's socket.
    #[error("connect to the guest agent's channel at {path}: {source}")]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The channel broke.
    #[error("the guest agent's channel broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The channel is closed.
    #[error("the guest agent's channel is closed")]
    Closed,
    /// No answer came in time.
    #[error("the guest agent does not answer to {0}")]
    Timeout(&'static str),
    /// The answer is longer than is read.
    #[error("the guest agent's answer to {0} is longer than {LONGEST_ANSWER} bytes")]
    TooLong(&'static str),
    /// The agent refused.
    #[error("the guest agent refuses {command}: {description}")]
    Refused {
        /// The command.
        command: &'static str,
        /// The agent's own sentence.
        description: String,
    },
    /// The answer is not what the command promises.
    #[error("the guest agent's answer to {command} does not parse: {source}")]
    Answer {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Operating system as `guest-get-osinfo` tells it. All parts are optional there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct OsInfo {
    /// `ID` of `os-release`.
    pub id: String,
    /// `NAME`.
    pub name: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
    /// `VERSION`.
    pub version: String,
    /// `VERSION_ID`.
    pub version_id: String,
    /// Kernel release.
    pub kernel_release: String,
    /// Kernel version.
    pub kernel_version: String,
    /// Hardware name.
    pub machine: String,
}

/// Network interface as `guest-network-get-interfaces` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Hardware address.
    pub hardware_address: String,
    /// Addresses.
    pub ip_addresses: Vec<Address>,
}

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Address {
    /// The address.
    pub ip_address: String,
    /// `ipv4` or `ipv6`.
    pub ip_address_type: String,
    /// Length of its prefix.
    pub prefix: u8,
}

/// The agent as `guest-info` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Release.
    pub version: String,
    /// Commands that it knows.
    pub supported_commands: Vec<SupportedCommand>,
}

/// One command of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SupportedCommand {
    /// Its name.
    pub name: String,
    /// Whether the agent obeys it.
    pub enabled: bool,
}

/// A login as `guest-get-users` tells it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    /// Name.
    pub user: String,
    /// Domain, on Windows.
    pub domain: String,
    /// When, in seconds since the epoch.
    pub login_time: f64,
}

/// A time zone as `guest-get-timezone` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Timezone {
    /// Name; the agent may not know it.
    pub zone: String,
    /// Seconds east of UTC.
    pub offset: i64,
}

/// A mounted file system as `guest-get-fsinfo` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FileSystem {
    /// Device name.
    pub name: String,
    /// Where it is mounted.
    pub mountpoint: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Disks below it.
    pub disk: Vec<FileSystemDisk>,
}

/// A disk below a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FileSystemDisk {
    /// Serial number.
    pub serial: String,
    /// Bus, for example `virtio`.
    pub bus_type: String,
}

#[derive(Deserialize)]
struct HostName {
    #[serde(rename = "host-name")]
    host_name: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "return")]
    value: Option<serde_json::Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    desc: String,
}

/// The agent at one channel.
#[derive(Debug)]
pub struct Agent {
    stream: UnixStream,
    lines: Lines,
    in_step: bool,
    syncs: u32,
}

impl Agent {
    /// Connects to the host's end of the channel. That says nothing about an agent at the other end.
    pub async fn connect(path: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| Error::Connect { path: path.to_owned(), source })?;
        Ok(Self::new(stream))
    }

    /// Uses a connected stream.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, lines: Lines::new(LONGEST_ANSWER), in_step: false, syncs: 0 }
    }

    /// Returns when the agent has answered.
    pub async fn ping(&mut self, patience: Duration) -> Result<(), Error> {
        self.ask::<(), serde_json::Value>("guest-ping", None, patience).await?;
        Ok(())
    }

    /// Returns the guest's operating system.
    pub async fn os_info(&mut self, patience: Duration) -> Result<OsInfo, Error> {
        self.ask("guest-get-osinfo", None::<()>, patience).await
    }

    /// Returns the guest's host name.
    pub async fn host_name(&mut self, patience: Duration) -> Result<String, Error> {
        let answer: HostName = self.ask("guest-get-host-name", None::<()>, patience).await?;
        Ok(answer.host_name)
    }

    /// Returns the guest's network interfaces.
    pub async fn interfaces(&mut self, patience: Duration) -> Result<Vec<Interface>, Error> {
        self.ask("guest-network-get-interfaces", None::<()>, patience).await
    }

    /// Returns the agent's release and commands.
    pub async fn info(&mut self, patience: Duration) -> Result<Info, Error> {
        self.ask("guest-info", None::<()>, patience).await
    }

    /// Returns the guest's time zone.
    pub async fn timezone(&mut self, patience: Duration) -> Result<Timezone, Error> {
        self.ask("guest-get-timezone", None::<()>, patience).await
    }

    /// Returns who is logged in.
    pub async fn users(&mut self, patience: Duration) -> Result<Vec<User>, Error> {
        self.ask("guest-get-users", None::<()>, patience).await
    }

    /// Returns what is mounted.
    pub async fn file_systems(&mut self, patience: Duration) -> Result<Vec<FileSystem>, Error> {
        self.ask("guest-get-fsinfo", None::<()>, patience).await
    }

    /// Returns `frozen` or `thawed`.
    pub async fn freeze_status(&mut self, patience: Duration) -> Result<String, Error> {
        self.ask("guest-fsfreeze-status", None::<()>, patience).await
    }

    /// Flushes and holds all file systems; returns how many.
    pub async fn freeze(&mut self, patience: Duration) -> Result<u64, Error> {
        self.ask("guest-fsfreeze-freeze", None::<()>, patience).await
    }

    /// Releases all file systems; returns how many.
    pub async fn thaw(&mut self, patience: Duration) -> Result<u64, Error> {
        self.ask("guest-fsfreeze-thaw", None::<()>, patience).await
    }

    /// Replaces the authorized keys of one of the guest's users (`guest-ssh-add-authorized-keys`, QEMU 5.2).
    pub async fn authorize_keys(
        &mut self,
        user: &str,
        keys: &[String],
        patience: Duration,
    ) -> Result<(), Error> {
        let arguments = serde_json::json!({"username": user, "keys": keys, "reset": true});
        self.ask::<_, serde_json::Value>("guest-ssh-add-authorized-keys", Some(arguments), patience).await?;
        Ok(())
    }

    /// Sets the password of one of the guest's users, which the guest hashes (`guest-set-user-password`, QEMU 2.3).
    pub async fn set_password(
        &mut self,
        user: &str,
        password: &str,
        patience: Duration,
    ) -> Result<(), Error> {
        let password = STANDARD.encode(password);
        let arguments = serde_json::json!({"username": user, "password": password, "crypted": false});
        self.ask::<_, serde_json::Value>("guest-set-user-password", Some(arguments), patience).await?;
        Ok(())
    }

    /// Has the guest restart. An agent that obeys does not answer; only a refusal comes back.
    pub async fn reboot(&mut self, patience: Duration) -> Result<(), Error> {
        let mode = serde_json::json!({"mode": "reboot"});
        match self.ask::<_, serde_json::Value>("guest-shutdown", Some(mode), patience).await {
            // It is ending already.
            Ok(_) | Err(Error::Timeout(_) | Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives any command and returns its answer within `patience`.
    pub async fn ask<A: Serialize, R: DeserializeOwned>(
        &mut self,
        command: &'static str,
        arguments: Option<A>,
        patience: Duration,
    ) -> Result<R, Error> {
        let exchange = async {
            if !self.in_step {
                self.sync().await?;
            }
            // Void until the answer is here: a caller that gives up leaves an answer that nobody reads.
            self.in_step = false;
            let unreadable = |source| Error::Answer { command, source };
            let request = match arguments {
                Some(arguments) => serde_json::json!({"execute": command, "arguments": arguments}),
                None => serde_json::json!({"execute": command}),
            };
            self.send(&request).await?;
            let line = self.line(command).await?;
            let message: Message = serde_json::from_slice(&line).map_err(unreadable)?;
            self.in_step = true;
            if let Some(refusal) = message.error {
                return Err(Error::Refused { command, description: refusal.desc });
            }
            serde_json::from_value(message.value.unwrap_or_default()).map_err(unreadable)
        };
        tokio::time::timeout(patience, exchange).await.unwrap_or(Err(Error::Timeout(command)))
    }

    async fn sync(&mut self) -> Result<(), Error> {
        const COMMAND: &str = "guest-sync-delimited";
        self.syncs = self.syncs.wrapping_add(1);
        // A number that no earlier session on this channel is likely to have used.
        let id = (u64::from(std::process::id()) << 20) | u64::from(self.syncs & 0xf_ffff);
        self.lines.clear();
        self.stream.write_all(&[0xff]).await?;
        self.send(&serde_json::json!({"execute": COMMAND, "arguments": {"id": id}})).await?;
        loop {
            while !self.lines.drop_through(0xff) {
                self.fill(COMMAND).await?;
            }
            let line = self.line(COMMAND).await?;
            let answer = serde_json::from_slice::<Message>(&line).ok().and_then(|message| message.value);
            if answer.and_then(|value| value.as_u64()) == Some(id) {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, request: &serde_json::Value) -> Result<(), Error> {
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        self.stream.write_all(&line).await?;
        Ok(())
    }

    async fn line(&mut self, command: &'static str) -> Result<Vec<u8>, Error> {
        loop {
            match self.lines.next() {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => self.fill(command).await?,
                Err(_) => return Err(Error::TooLong(command)),
            }
        }
    }

    async fn fill(&mut self, command: &'static str) -> Result<(), Error> {
        let mut buffer = vec![0; 4096];
        let count = self.stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(Error::Closed);
        }
        self.lines.push(&buffer[..count]);
        if self.lines.held() > LONGEST_ANSWER {
            self.lines.clear();
            return Err(Error::TooLong(command));
        }
        Ok(())
    }
}
