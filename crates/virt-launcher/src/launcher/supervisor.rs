//! The task that owns the machine's state.

use std::collections::BTreeMap;
use std::sync::Arc;

use hypervisor::{Attached, Event, Events, Machine, RunState, ShutdownCause};
use hypervisor_qemu::Qemu;
use launcher_channel::Refusal;
use launcher_channel::seqpacket::Socket;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, Instant};
use wire::launcher::v1::{GuestOs, Interface, MachineState, machine_state::Phase};
use wire::machine::MachineRecord;

use super::adopt::Past;
use super::agent::Guest;
use super::ending::{self, Seen};
use super::handle::Command;
use super::reattach::Reattach;
use super::reboot::Reboot;
use super::serial::Port;
use super::shutdown::Stage;
use super::{interfaces, status};
use crate::clock::now_ms;
use crate::files;
use crate::options::Options;
use crate::shim::exit::Exit;
use crate::shim::protocol::{Notice, Request};

/// How long the serial port's last output may take to reach the log.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// How long watchers have to read the final state before the Pod ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the machine's helpers learn.
#[derive(Debug)]
pub(super) enum Report {
    /// The guest printed for the first time.
    Output,
    /// The guest confirmed an address.
    Lease { mac: String, address: String },
    /// The guest's agent said something new.
    Guest(Guest),
}

/// A record as it was given.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) record: MachineRecord,
    pub(super) bytes: Vec<u8>,
}

/// A machine whose hypervisor runs.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) machine: Arc<dyn Machine>,
    /// `None` once the control connection is gone.
    pub(super) events: Option<Events>,
    pub(super) agent_open: watch::Sender<bool>,
    /// Serial port, DHCP, agent, consoles; aborted with the machine.
    pub(super) helpers: JoinSet<()>,
    /// Ends when the serial port's output is in the log.
    pub(super) drained: Option<JoinHandle<()>>,
    pub(super) port: Option<Port>,
}

pub(super) struct Supervisor {
    pub(super) options: Options,
    pub(super) link: Socket,
    pub(super) states: watch::Sender<MachineState>,
    pub(super) backend: Qemu,
    pub(super) order: Option<Order>,
    pub(super) live: Option<Live>,
    pub(super) seen: Seen,
    pub(super) stage: Stage,
    /// What the hypervisor said when a disk failed last; kept, so that it is told in the same breath as the pause.
    disk_failure: Option<String>,
    pub(super) reboot: Reboot,
    pub(super) reattach: Reattach,
    pub(super) reports: mpsc::Sender<Report>,
    reported: mpsc::Receiver<Report>,
    leases: BTreeMap<String, String>,
    guest: Guest,
}

impl Supervisor {
    pub(super) fn new(options: Options, link: Socket, states: watch::Sender<MachineState>) -> Self {
        let (reports, reported) = mpsc::channel(16);
        Self {
            options,
            link,
            states,
            backend: Qemu::default(),
            order: None,
            live: None,
            seen: Seen::default(),
            stage: Stage::None,
            disk_failure: None,
            reboot: Reboot::None,
            reattach: Reattach::default(),
            reports,
            reported,
            leases: BTreeMap::new(),
            guest: Guest::default(),
        }
    }

    /// Works until the shim is gone or has been told that all is done.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, past: Past) {
        self.take_over(past).await;
        loop {
            let next = self.stage.next();
            let reattach = self.reattach.next();
            tokio::select! {
                // An end that has been seen counts before everything else.
                biased;
                event = event(&mut self.live) => match event {
                    Some(event) => self.happened(event).await,
                    None => self.connection_lost(),
                },
                notice = self.link.receive::<Notice>() => match notice {
                    Ok(Some((notice, _))) => self.noticed(notice).await,
                    Ok(None) => return,
                    Err(error) => {
                        tracing::error!(%error, "the shim's message is not understood");
                        return;
                    }
                },
                Some(report) = self.reported.recv() => self.learned(report),
                Some(command) = commands.recv() => self.command(command).await,
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.next_stage().await;
                }
                () = tokio::time::sleep_until(reattach.unwrap_or_else(Instant::now)), if reattach.is_some() => {
                    self.reattach().await;
                }
            }
        }
    }

    async fn command(&mut self, command: Command) {
        // Whoever asked may have gone; the answer is then nobody's.
        match command {
            Command::Start(order, answer) => drop(answer.send(self.start(*order).await)),
            Command::Shutdown { grace_period_seconds, answer } => {
                drop(answer.send(self.shut_down(Duration::from_secs(grace_period_seconds)).await));
            }
            Command::Kill(answer) => drop(answer.send(self.kill().await)),
            Command::Pause(answer) => drop(answer.send(self.pause().await)),
            Command::Resume(answer) => drop(answer.send(self.resume().await)),
            Command::Reset(answer) => drop(answer.send(self.reset().await)),
            Command::SoftReboot(answer) => drop(answer.send(self.soft_reboot().await)),
            Command::SetLinks(links, answer) => drop(answer.send(self.set_links(&links).await)),
            Command::Machine(answer) => drop(answer.send(self.machine())),
        }
    }

    /// Returns the machine, if one runs.
    pub(super) fn machine(&self) -> Result<Arc<dyn Machine>, Refusal> {
        let live = self.live.as_ref().ok_or_else(|| Refusal::NotNow("no machine runs".to_owned()))?;
        Ok(Arc::clone(&live.machine))
    }

    pub(super) fn undisturbed(&self) -> Result<Arc<dyn Machine>, Refusal> {
        if self.stage.is_ending() {
            return Err(Refusal::NotNow("the machine is shutting down".to_owned()));
        }
        self.machine()
    }

    async fn pause(&mut self) -> Result<(), Refusal> {
        self.undisturbed()?.pause().await.map_err(failed)?;
        self.refresh().await;
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Refusal> {
        self.undisturbed()?.resume().await.map_err(failed)?;
        self.refresh().await;
        Ok(())
    }

    async fn reset(&mut self) -> Result<(), Refusal> {
        self.undisturbed()?.reset().await.map_err(failed)
    }

    async fn happened(&mut self, event: Event) {
        match event {
            Event::Resumed | Event::Paused => self.refresh().await,
            Event::Shutdown { cause: ShutdownCause::Guest, .. } if self.powered_off_to_reboot().await => {}
            Event::Shutdown { .. } | Event::Panicked | Event::Watchdog { .. } => self.see(&event),
            Event::Reset { .. } => {
                self.restarted();
                self.reset_to_reboot().await;
            }
            Event::IoError { disk, reason } => {
                self.disk_failure = Some(format!("disk {disk}: {reason}"));
                self.refresh().await;
            }
            Event::AgentChannel { open } => {
                if let Some(live) = &self.live {
                    live.agent_open.send_replace(open);
                }
            }
            Event::PowerButton | Event::Other { .. } => {
                tracing::debug!(?event, "the hypervisor tells");
            }
        }
    }

    /// Keeps what tells why a machine ended.
    fn see(&mut self, event: &Event) {
        match event {
            Event::Shutdown { cause, reason } => self.seen.shutdown = Some((*cause, reason.clone())),
            Event::Panicked => self.seen.panicked = true,
            Event::Watchdog { action } => {
                tracing::warn!(action, "the guest's watchdog has expired");
                self.seen.watchdog = Some(action.clone());
            }
            _ => {}
        }
    }

    async fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Exited(exit) => self.ended(&exit).await,
            Notice::Terminate => self.terminate().await,
            Notice::Hello { .. } | Notice::Executed(_) | Notice::NotExecuted { .. } => {
                tracing::warn!(?notice, "an unexpected notice");
            }
        }
    }

    fn learned(&mut self, report: Report) {
        match report {
            Report::Output => return self.heard(now_ms()),
            Report::Lease { mac, address } => {
                self.leases.insert(mac, address);
            }
            Report::Guest(guest) => self.guest = guest,
        }
        let merged = self.interfaces();
        let os = os(&self.guest);
        let connected = self.guest.connected;
        status::publish(&self.states, |state| {
            state.interfaces = merged;
            state.guest_os = os;
            state.agent_connected = connected;
        });
    }

    /// Returns the machine's interfaces, by all that is known of them.
    fn interfaces(&self) -> Vec<Interface> {
        let nics = self.order.as_ref().map_or(&[][..], |order| &order.record.nics);
        interfaces::merge(nics, &self.leases, &self.guest.interfaces)
    }

    /// Publishes which machine this is, as its record says.
    pub(super) fn introduce(&self) {
        let Some(order) = &self.order else { return };
        let interfaces = self.interfaces();
        status::publish(&self.states, |state| {
            state.record.clone_from(&order.bytes);
            state.interfaces = interfaces;
        });
    }

    /// Publishes that the guest has printed.
    pub(super) fn heard(&self, at_ms: u64) {
        status::publish(&self.states, |state| {
            if state.first_output_at_ms == 0 {
                state.first_output_at_ms = at_ms;
            }
        });
    }

    /// Publishes that the guest starts anew.
    fn restarted(&mut self) {
        // What was seen belongs to the guest's life before.
        self.seen.watchdog = None;
        status::publish(&self.states, |state| {
            state.resets += 1;
            state.reset_at_ms = now_ms();
        });
    }

    /// Publishes what the machine does now.
    pub(super) async fn refresh(&mut self) {
        let Ok(machine) = self.machine() else { return };
        let Ok(state) = machine.state().await else { return };
        let (phase, reason, message) = match state {
            RunState::Running | RunState::Created | RunState::Paused if self.stage.is_ending() => return,
            RunState::Running => (Phase::Running, "Started", "the machine runs".to_owned()),
            RunState::IoError => {
                let cause = self.disk_failure.clone();
                (Phase::Paused, "IOError", cause.unwrap_or_else(|| "a disk failed".to_owned()))
            }
            RunState::Panicked => (Phase::Paused, "GuestPanicked", "the guest panicked".to_owned()),
            RunState::Created => {
                (Phase::Paused, "StartedPaused", "the machine waits to be resumed".to_owned())
            }
            RunState::Paused => (Phase::Paused, "Paused", "the machine is paused".to_owned()),
            // It is about to end; how, is seen then.
            RunState::Ended => return,
            RunState::Other(name) => (Phase::Paused, "Stopped", format!("the hypervisor reports {name}")),
        };
        status::enter(&self.states, phase, reason, &message);
    }

    /// Judges the end of a machine, publishes it and ends the Pod.
    pub(super) async fn ended(&mut self, exit: &Exit) {
        if let Some(mut live) = self.live.take() {
            // What the hypervisor said last may still wait behind the shim's notice.
            if let Some(mut events) = live.events.take() {
                while let Some(event) = events.recv().await {
                    self.see(&event);
                }
            }
            if let Some(drained) = live.drained.take() {
                let _ = tokio::time::timeout(DRAIN_PATIENCE, drained).await;
            }
        }
        // A start that failed has said so already, and may be tried again.
        if self.states.borrow().phase() == Phase::Failed && self.states.borrow().hypervisor_pid == 0 {
            return;
        }
        let words = ending::last_words(&self.options.run_dir.join(files::HYPERVISOR_LOG));
        let (phase, reason, message) = ending::judge(exit, &self.seen, &words);
        self.stage = Stage::None;
        status::publish(&self.states, |state| {
            state.hypervisor_pid = 0;
            state.agent_connected = false;
        });
        status::enter(&self.states, phase, reason, &message);
        status::keep_final(&self.options.run_dir, &self.states.borrow());
        tokio::time::sleep(FAREWELL).await;
        self.finish(u8::from(phase == Phase::Crashed)).await;
    }

    pub(super) async fn finish(&self, code: u8) {
        self.ask_shim(&Request::Finish { code }).await;
    }

    pub(super) async fn ask_shim(&self, request: &Request) {
        if let Err(error) = self.link.send(request, &[]).await {
            tracing::error!(%error, "ask the shim");
        }
    }

    /// Takes a machine whose hypervisor runs under supervision.
    pub(super) fn supervise(&mut self, attached: Attached) -> &mut Live {
        let Attached { machine, events } = attached;
        let hypervisor = machine.hypervisor();
        status::publish(&self.states, |state| state.hypervisor = hypervisor);
        self.live.insert(Live {
            machine,
            events: Some(events),
            agent_open: watch::Sender::new(false),
            helpers: JoinSet::new(),
            drained: None,
            port: None,
        })
    }
}

/// The next event of a machine; pending for ever while none runs.
async fn event(live: &mut Option<Live>) -> Option<Event> {
    match live.as_mut().and_then(|live| live.events.as_mut()) {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) fn failed(error: hypervisor::Error) -> Refusal {
    Refusal::Failed(error.to_string())
}

fn os(guest: &Guest) -> Option<GuestOs> {
    let os = &guest.os;
    if *os == hypervisor::GuestOs::default() && guest.hostname.is_empty() {
        return None;
    }
    Some(GuestOs {
        id: os.id.clone(),
        name: os.name.clone(),
        pretty_name: os.pretty_name.clone(),
        version: os.version.clone(),
        version_id: os.version_id.clone(),
        kernel_release: os.kernel_release.clone(),
        kernel_version: os.kernel_version.clone(),
        machine: os.machine.clone(),
        hostname: guest.hostname.clone(),
    })
}
