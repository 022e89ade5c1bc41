//! The simulated machine: it runs no guest and says so (`hypervisor` is `simulated`).
//!
//! It keeps the same promises as a real one, by the same [`crate::contract`], so that controllers and agents
//! can be tried with thousands of machines on a laptop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use wire::machine::MachineRecord;

use crate::agent::AgentError;
use crate::{Attached, Error, Event, GuestAgent, GuestInterface, GuestOs, Machine, RunState, ShutdownCause};

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
        let inner = Inner { state: RunState::Created, listeners: Vec::new() };
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
        self.alive()?.tell(&Event::Reset { cause: ShutdownCause::Host });
        Ok(())
    }

    async fn set_link(&self, nic: &str, _up: bool) -> Result<(), Error> {
        drop(self.alive()?);
        if self.record.nics.iter().any(|known| known.name == nic) {
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
}
