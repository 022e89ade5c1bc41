//! Starting a machine: plan, execute, attach, resume.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use hypervisor::{Access, Attached, Backend, PlanError, Source, Surroundings};
use hypervisor_qemu::SERIAL_CHANNEL;
use launcher_channel::{Descriptors, Refusal, StartOrder};
use tokio::time::{Duration, Instant};
use wire::launcher::v1::{MachineState, machine_state::Phase};
use wire::machine::MachineRecord;

use super::ending::{self, Seen};
use super::shutdown::Stage;
use super::status;
use super::supervisor::{Live, Order, Supervisor};
use super::{agent, console, dhcp, log, router, serial};
use crate::clock::now_ms;
use crate::files;
use crate::shim::exit::Exit;
use crate::shim::protocol::{Notice, Request, Running};

/// How long a hypervisor may take to open its control socket.
const ATTACH_PATIENCE: Duration = Duration::from_secs(30);
/// Wait between two attempts to attach.
const ATTACH_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of the hypervisor's own log.
const HYPERVISOR_LOG_LIMIT: u64 = 1 << 20;

/// Why a machine does not run: one word and one sentence.
pub(super) struct Failure {
    reason: &'static str,
    message: String,
}

/// Why nobody is attached to a hypervisor's process.
pub(super) enum NotAttached {
    /// It ended before it listened.
    Ended(Exit),
    /// It cannot be reached.
    Failed(Failure),
}

fn failure(reason: &'static str, message: impl std::fmt::Display) -> Failure {
    Failure { reason, message: message.to_string() }
}

/// What a descriptor is open for. One that cannot be asked is taken for the lesser.
fn access(fd: &OwnedFd) -> Access {
    match rustix::fs::fcntl_getfl(fd) {
        Ok(flags) if flags & rustix::fs::OFlags::RWMODE == rustix::fs::OFlags::RDWR => Access::ReadWrite,
        _ => Access::Read,
    }
}

/// What a hypervisor's process is executed with.
struct Prepared {
    request: Request,
    /// For the process, in the order of the invocation, then for the shim to keep.
    sources: Vec<OwnedFd>,
    /// Ours, by name: the other ends of channels, and the sockets that we serve ourselves.
    ours: BTreeMap<String, OwnedFd>,
}

impl Supervisor {
    /// Starts the machine of `order`.
    pub(super) async fn start(&mut self, order: StartOrder) -> Result<MachineState, Refusal> {
        let StartOrder { record, bytes, descriptors } = order;
        if self.live.is_some() {
            return match &self.order {
                Some(running) if running.record == record => Ok(self.states.borrow().clone()),
                _ => Err(Refusal::NotNow("another machine runs in this Pod".to_owned())),
            };
        }
        if !self.options.uid.is_empty() && record.uid != self.options.uid {
            return Err(Refusal::Invalid(format!(
                "this Pod is for the instance {}, not {}",
                self.options.uid, record.uid
            )));
        }
        if matches!(self.states.borrow().phase(), Phase::ShutOff | Phase::Crashed) {
            return Err(Refusal::NotNow("the machine of this Pod has ended".to_owned()));
        }
        self.seen = Seen::default();
        self.stage = Stage::None;
        self.order = Some(Order { record, bytes });
        if let Err(Failure { reason, message }) = self.try_start(descriptors).await {
            if self.live.take().is_some() {
                self.ask_shim(&Request::Kill).await;
            }
            status::publish(&self.states, |state| state.hypervisor_pid = 0);
            status::enter(&self.states, Phase::Failed, reason, &message);
            if self.stage.is_ending() {
                self.finish(0).await;
            }
        }
        Ok(self.states.borrow().clone())
    }

    async fn try_start(&mut self, descriptors: Descriptors) -> Result<(), Failure> {
        let Some(Order { record, bytes }) = &self.order else {
            return Ok(());
        };
        self.introduce();
        status::enter(&self.states, Phase::Starting, "Starting", "the hypervisor starts");
        let prepared = self.prepare(record, descriptors)?;
        // Before the process exists: whoever replaces us must know what it runs.
        files::write(&self.options.run_dir.join(files::RECORD), bytes)
            .map_err(|error| failure("RunDirectory", format!("keep the machine's record: {error}")))?;
        let ours = self.execute(prepared).await?;
        let attached = match self.attach_or_end().await {
            Ok(attached) => attached,
            Err(NotAttached::Ended(exit)) => {
                let words = ending::last_words(&self.options.run_dir.join(files::HYPERVISOR_LOG));
                return Err(failure("HypervisorFailed", ending::sentence(&exit, &words)));
            }
            Err(NotAttached::Failed(failure)) => {
                // A process that never listened runs nothing worth keeping.
                self.ask_shim(&Request::Kill).await;
                return Err(failure);
            }
        };
        self.supervise(attached);
        self.begin(ours).await;
        self.go().await
    }

    /// Plans the process and opens what it needs.
    fn prepare(&self, record: &MachineRecord, descriptors: Descriptors) -> Result<Prepared, Failure> {
        let mut open: BTreeMap<_, _> = descriptors.into_iter().collect();
        let names = open.iter().map(|(name, fd)| (name.clone(), access(fd))).collect();
        let surroundings = Surroundings {
            descriptors: &names,
            run_directory: &self.options.run_dir,
            socket_directory: &self.options.socket_dir,
            now: (now_ms() / 1000) as i64,
        };
        let invocation = self.backend.plan(record, &surroundings).map_err(|error| match error {
            PlanError::Unsupported(_) => failure("Unsupported", error),
            PlanError::MissingDescriptor { .. } => failure("MissingDescriptor", error),
            PlanError::Contradiction { .. } => failure("InvalidRecord", error),
            PlanError::NotInstalled { .. } => failure("NotInstalled", error),
        })?;
        let broken = |error: std::io::Error| failure("Descriptors", error);
        let mut sources = Vec::new();
        let mut ours = BTreeMap::new();
        for inherited in &invocation.descriptors {
            sources.push(match &inherited.source {
                Source::Channel(name) => {
                    let (own, theirs) = UnixStream::pair().map_err(broken)?;
                    ours.insert(name.clone(), OwnedFd::from(own));
                    OwnedFd::from(theirs)
                }
                // Planned from these very names, each once.
                Source::Descriptor(name) => open.remove(name).ok_or_else(|| {
                    failure("MissingDescriptor", format!("the descriptor {name} is needed twice"))
                })?,
            });
        }
        for lease in record.nics.iter().filter_map(|nic| nic.dhcp.as_ref()) {
            let six = lease.ipv6.iter().flat_map(|six| [&six.dhcp, &six.advertiser]);
            for name in std::iter::once(&lease.socket).chain(six) {
                let socket = open.remove(name).ok_or_else(|| {
                    failure("MissingDescriptor", format!("the socket {name} was not handed over"))
                })?;
                ours.insert(name.clone(), socket);
            }
        }
        let keep = ours.keys().cloned().collect();
        let grace_period_seconds = record.grace_period_seconds;
        Ok(Prepared { request: Request::Execute { invocation, keep, grace_period_seconds }, sources, ours })
    }

    /// Has the shim execute the process; returns our ends of its channels.
    async fn execute(&mut self, prepared: Prepared) -> Result<BTreeMap<String, OwnedFd>, Failure> {
        let Prepared { request, sources, ours } = prepared;
        let fds: Vec<_> = sources.iter().chain(ours.values()).map(AsFd::as_fd).collect();
        let lost = |error: std::io::Error| {
            failure("Shim", format!("ask the shim to execute the hypervisor: {error}"))
        };
        self.link.send(&request, &fds).await.map_err(lost)?;
        // The other ends are the process's alone: when it ends, our channels must end too.
        drop(fds);
        drop(sources);
        loop {
            match self.link.receive::<Notice>().await.map_err(lost)? {
                Some((Notice::Executed(running), _)) => {
                    self.executed(running);
                    return Ok(ours);
                }
                Some((Notice::NotExecuted { reason }, _)) => {
                    return Err(failure("HypervisorNotExecuted", reason));
                }
                Some((Notice::Terminate, _)) => self.terminate_later(),
                Some(_) => {}
                None => return Err(failure("Shim", "the shim is gone")),
            }
        }
    }

    pub(super) fn executed(&self, running: Running) {
        status::publish(&self.states, |state| {
            state.hypervisor_pid = running.pid;
            state.executed_at_ms = running.executed_at_ms;
            state.first_output_at_ms = 0;
        });
    }

    /// Attaches to the process as soon as it listens, unless it ends before.
    pub(super) async fn attach_or_end(&mut self) -> Result<Attached, NotAttached> {
        let lost = || NotAttached::Failed(failure("Shim", "the shim is gone"));
        let deadline = Instant::now() + ATTACH_PATIENCE;
        loop {
            let error = tokio::select! {
                biased;
                notice = self.link.receive::<Notice>() => match notice {
                    Ok(Some((Notice::Exited(exit), _))) => return Err(NotAttached::Ended(exit)),
                    Ok(Some((Notice::Terminate, _))) => {
                        self.terminate_later();
                        continue;
                    }
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => return Err(lost()),
                },
                attached = hypervisor_qemu::attach(&self.options.run_dir) => match attached {
                    Ok(attached) => return Ok(attached),
                    Err(error) => error,
                },
            };
            if Instant::now() >= deadline {
                return Err(NotAttached::Failed(failure("HypervisorSilent", error)));
            }
            tokio::time::sleep(ATTACH_PAUSE).await;
        }
    }

    /// The Pod's end was asked for while a machine starts: it is shut down once it has.
    fn terminate_later(&mut self) {
        self.stage = Stage::Asked { press_at: Instant::now(), deadline: Instant::now() + self.grace() };
        self.seen.wish = Some(ending::Wish::Shutdown);
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(self.order.as_ref().map_or(0, |order| order.record.grace_period_seconds))
    }

    /// Serves what the machine needs beside its process: serial port, consoles, DHCP, the agent.
    pub(super) async fn begin(&mut self, mut ours: BTreeMap<String, OwnedFd>) {
        let socket = self.options.socket_dir.join(files::SERIAL_SOCKET);
        let serial_log = self.options.run_dir.join(files::SERIAL_LOG);
        let (Some(live), Some(order)) = (&mut self.live, &self.order) else {
            return;
        };
        if let Some(channel) = ours.remove(SERIAL_CHANNEL) {
            let log = (!order.record.serial_unlogged).then_some(serial_log.as_path());
            match serial::serve(channel, log, self.reports.clone()) {
                Ok(serial::Serial { port, drained }) => {
                    live.drained = Some(drained);
                    match console::bind(&socket) {
                        Ok(listener) => {
                            live.helpers.spawn(console::serve(listener, port.clone()));
                        }
                        Err(error) => {
                            tracing::error!(%error, "bind the console's socket; there is no console");
                        }
                    }
                    live.port = Some(port);
                }
                Err(error) => tracing::error!(%error, "serve the serial port; the guest may stall"),
            }
        }
        live.helpers
            .spawn(log::bound(self.options.run_dir.join(files::HYPERVISOR_LOG), HYPERVISOR_LOG_LIMIT));
        for nic in &order.record.nics {
            let Some(lease) = &nic.dhcp else { continue };
            if let Some(socket) = ours.remove(&lease.socket) {
                let reports = self.reports.clone();
                live.helpers.spawn(dhcp::serve(socket, lease.clone(), nic.mac.clone(), reports));
            }
            if let Some(six) = &lease.ipv6
                && let (Some(dhcp), Some(advertiser)) = (ours.remove(&six.dhcp), ours.remove(&six.advertiser))
            {
                live.helpers.spawn(router::serve(dhcp, advertiser, lease.clone()));
            }
        }
        if let Some(guest_agent) = live.machine.agent() {
            let open = live.agent_open.subscribe();
            live.helpers.spawn(agent::watch(guest_agent, open, self.reports.clone()));
            // It may have been open before we listened for changes.
            match live.machine.agent_channel_open().await {
                Ok(open) => drop(live.agent_open.send_replace(open)),
                Err(error) => tracing::warn!(%error, "ask whether the guest's agent listens"),
            }
        }
    }

    /// Sets what the command line cannot, and lets the processors run.
    pub(super) async fn go(&mut self) -> Result<(), Failure> {
        let (Some(Live { machine, .. }), Some(Order { record, .. })) = (&self.live, &self.order) else {
            return Ok(());
        };
        let refused = |error: hypervisor::Error| failure("HypervisorRefused", error);
        for nic in record.nics.iter().filter(|nic| !nic.link_up) {
            machine.set_link(&nic.name, false).await.map_err(refused)?;
        }
        if !record.start_paused {
            machine.resume().await.map_err(refused)?;
        }
        self.refresh().await;
        Ok(())
    }

    /// Publishes why a machine that was taken over cannot be driven.
    pub(super) fn fail(&mut self, Failure { reason, message }: Failure) {
        status::enter(&self.states, Phase::Failed, reason, &message);
    }
}
