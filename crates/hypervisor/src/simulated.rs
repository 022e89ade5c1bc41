//! The simulated machine: it runs no guest and says so (`hypervisor` is `simulated`).
//!
//! It keeps the same promises as a real one, by the same [`crate::contract`], so that controllers and agents
//! can be tried with thousands of machines on a laptop.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use wire::machine::MachineRecord;

use crate::agent::AgentError;
use crate::{
    AgentFacts, Attached, Error, Event, FileSystem, GuestAgent, GuestInterface, GuestOs, GuestUser, Machine,
    ProgramEnd, RunState, ShutdownCause,
};

/// State of a machine whose guest powered off and that stands still.
const STANDING: &str = "standing";

/// How the simulated guest behaves.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Whether it powers off when its power button is pressed.
    pub heeds_power_button: bool,
    /// Whether an agent answers once it runs.
    pub agent: bool,
}

impl Default for Guest {
    fn default() -> Self {
        Self { heeds_power_button: true, agent: true }
    }
}

#[derive(Debug)]
struct Inner {
    state: RunState,
    /// Whether a power-off of the guest leaves the machine standing.
    stands_still: bool,
    frozen: bool,
    /// Interfaces whose cable was pulled.
    disconnected: BTreeSet<String>,
    listeners: Vec<mpsc::UnboundedSender<Event>>,
}

/// A process that is none: the simulated counterpart of an executed hypervisor.
#[derive(Clone, Debug)]
pub struct Simulation {
    record: Arc<MachineRecord>,
    guest: Guest,
    inner: Arc<Mutex<Inner>>,
    ended: watch::Sender<bool>,
}

impl Simulation {
    /// Makes the machine of `record`, its processors stopped.
    pub fn new(record: MachineRecord, guest: Guest) -> Self {
        let inner = Inner {
            state: RunState::Created,
            stands_still: false,
            frozen: false,
            disconnected: BTreeSet::new(),
            listeners: Vec::new(),
        };
        Self {
            record: Arc::new(record),
            guest,
            inner: Arc::new(Mutex::new(inner)),
            ended: watch::Sender::new(false),
        }
    }

    /// Attaches to the machine.
    pub fn attach(&self) -> Result<Attached, Error> {
        let mut inner = self.inner();
        if inner.state == RunState::Ended {
            return Err(Error::Attach("the simulated machine has ended".to_owned()));
        }
        let (sender, events) = mpsc::unbounded_channel();
        inner.listeners.push(sender);
        Ok(Attached { machine: Arc::new(self.clone()), events })
    }

    /// Powers the guest off from inside.
    pub fn power_off(&self) {
        self.end(ShutdownCause::Guest, "guest-shutdown");
    }

    /// Resets the guest from inside.
    pub fn reset_by_guest(&self) {
        if self.record.reboot_ends {
            self.end(ShutdownCause::Guest, "guest-reset");
        } else {
            self.inner().tell(&Event::Reset { cause: ShutdownCause::Guest });
        }
    }

    /// Tells whether the guest sees a carrier at an interface.
    pub fn is_connected(&self, nic: &str) -> bool {
        !self.inner().disconnected.contains(nic)
    }

    /// Has the guest panic. Without a panic device nobody learns of it.
    pub fn panic(&self) {
        if !self.record.panic_devices.is_empty() {
            self.inner().tell(&Event::Panicked);
            self.end(ShutdownCause::Guest, "guest-panic");
        }
    }

    /// Returns when the machine has ended.
    pub async fn ended(&self) {
        // The sender is `self`'s own, so waiting cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, cause: ShutdownCause, reason: &str) {
        let mut inner = self.inner();
        if inner.state == RunState::Ended {
            return;
        }
        inner.tell(&Event::Shutdown { cause, reason: reason.to_owned() });
        if inner.stands_still && cause == ShutdownCause::Guest {
            inner.state = RunState::Other(STANDING.to_owned());
            return;
        }
        inner.state = RunState::Ended;
        inner.listeners.clear();
        drop(inner);
        self.ended.send_replace(true);
    }

    fn alive(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = self.inner();
        if inner.state == RunState::Ended { Err(Error::Gone) } else { Ok(inner) }
    }
}

impl Inner {
    fn tell(&mut self, event: &Event) {
        self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    fn enter(&mut self, state: RunState, event: &Event) {
        if self.state != state {
            self.state = state;
            self.tell(event);
        }
    }
}

#[async_trait]
impl Machine for Simulation {
    fn hypervisor(&self) -> String {
        "simulated".to_owned()
    }

    async fn state(&self) -> Result<RunState, Error> {
        Ok(self.alive()?.state.clone())
    }

    async fn resume(&self) -> Result<(), Error> {
        self.alive()?.enter(RunState::Running, &Event::Resumed);
        Ok(())
    }

    async fn pause(&self) -> Result<(), Error> {
        self.alive()?.enter(RunState::Paused, &Event::Paused);
        Ok(())
    }

    async fn press_power_button(&self) -> Result<(), Error> {
        let heard = {
            let mut inner = self.alive()?;
            inner.tell(&Event::PowerButton);
            inner.state == RunState::Running && self.guest.heeds_power_button
        };
        if heard {
            self.power_off();
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), Error> {
        let mut inner = self.alive()?;
        inner.frozen = false;
        if inner.state == RunState::Other(STANDING.to_owned()) {
            inner.state = RunState::Paused;
        }
        inner.tell(&Event::Reset { cause: ShutdownCause::Host });
        Ok(())
    }

    async fn stand_still_on_shutdown(&self, still: bool) -> Result<(), Error> {
        self.alive()?.stands_still = still;
        Ok(())
    }

    async fn screenshot(&self, _file: &Path) -> Result<(), Error> {
        drop(self.alive()?);
        Err(Error::Refused {
            command: "take a picture".to_owned(),
            reason: "a simulated machine has no screen".to_owned(),
        })
    }

    async fn set_link(&self, nic: &str, up: bool) -> Result<(), Error> {
        let mut inner = self.alive()?;
        if self.record.nics.iter().any(|known| known.name == nic) {
            if up {
                inner.disconnected.remove(nic);
            } else {
                inner.disconnected.insert(nic.to_owned());
            }
            return Ok(());
        }
        Err(Error::Refused {
            command: "set the link".to_owned(),
            reason: format!("there is no interface {nic}"),
        })
    }

    async fn quit(&self) -> Result<(), Error> {
        drop(self.alive()?);
        self.end(ShutdownCause::Host, "host-qmp-quit");
        Ok(())
    }

    fn agent(&self) -> Option<Arc<dyn GuestAgent>> {
        let agent: Arc<dyn GuestAgent> = Arc::new(self.clone());
        self.record.agent.as_ref().map(|_| agent)
    }

    async fn agent_channel_open(&self) -> Result<bool, Error> {
        Ok(self.alive()?.state == RunState::Running && self.guest.agent)
    }
}

#[async_trait]
impl GuestAgent for Simulation {
    async fn ping(&self) -> Result<(), AgentError> {
        match self.agent_channel_open().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AgentError::Silent),
            Err(error) => Err(AgentError::Channel(error.to_string())),
        }
    }

    async fn os(&self) -> Result<GuestOs, AgentError> {
        self.ping().await?;
        Ok(GuestOs {
            id: "simulated".to_owned(),
            name: "Simulated guest".to_owned(),
            pretty_name: "Simulated guest".to_owned(),
            ..GuestOs::default()
        })
    }

    async fn hostname(&self) -> Result<String, AgentError> {
        self.ping().await?;
        Ok(self
            .record
            .nics
            .iter()
            .find_map(|nic| nic.dhcp.as_ref())
            .map_or_else(String::new, |lease| lease.hostname.clone()))
    }

    async fn interfaces(&self) -> Result<Vec<GuestInterface>, AgentError> {
        self.ping().await?;
        let interfaces = self.record.nics.iter().enumerate().map(|(place, nic)| GuestInterface {
            name: format!("eth{place}"),
            mac: nic.mac.clone(),
            addresses: nic.dhcp.iter().map(|lease| lease.address.to_string()).collect(),
        });
        Ok(interfaces.collect())
    }

    async fn facts(&self) -> Result<AgentFacts, AgentError> {
        self.ping().await?;
        Ok(AgentFacts { version: "simulated".to_owned(), commands: vec![("guest-ping".to_owned(), true)] })
    }

    async fn timezone(&self) -> Result<String, AgentError> {
        self.ping().await?;
        Ok("UTC".to_owned())
    }

    async fn users(&self) -> Result<Vec<GuestUser>, AgentError> {
        self.ping().await?;
        Ok(Vec::new())
    }

    async fn file_systems(&self) -> Result<Vec<FileSystem>, AgentError> {
        self.ping().await?;
        Ok(Vec::new())
    }

    async fn is_frozen(&self) -> Result<bool, AgentError> {
        self.ping().await?;
        Ok(self.inner().frozen)
    }

    async fn freeze(&self) -> Result<(), AgentError> {
        self.ping().await?;
        self.inner().frozen = true;
        Ok(())
    }

    async fn thaw(&self) -> Result<(), AgentError> {
        self.ping().await?;
        self.inner().frozen = false;
        Ok(())
    }

    async fn authorize_keys(&self, _: &str, _: &[String]) -> Result<(), AgentError> {
        self.ping().await
    }

    async fn set_password(&self, _: &str, _: &str) -> Result<(), AgentError> {
        self.ping().await
    }

    async fn run(&self, command: &[String], _: Duration) -> Result<ProgramEnd, AgentError> {
        self.ping().await?;
        let code = i32::from(command.first().is_none_or(|program| program != "true"));
        Ok(ProgramEnd { code, output: String::new() })
    }

    async fn reboot(&self) -> Result<(), AgentError> {
        self.ping().await?;
        self.inner().tell(&Event::Reset { cause: ShutdownCause::Guest });
        Ok(())
    }
}
