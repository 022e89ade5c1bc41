//! The supervisor as the channel's commands see it: a queue to its task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hypervisor::Machine;
use launcher_channel::{Refusal, StartOrder};
use tokio::sync::{mpsc, oneshot, watch};
use wire::launcher::v1::{
    AskGuestRequest, CredentialsRequest, GuestAnswer, Link, MachineState, ProbeGuestAnswer, ProbeGuestRequest,
};

use super::status::is_final;
use super::{probing, questions};

/// How long a killed hypervisor may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// One command and where its answer goes.
#[derive(Debug)]
pub(super) enum Command {
    Start(Box<StartOrder>, oneshot::Sender<Result<MachineState, Refusal>>),
    Shutdown {
        grace_period_seconds: u64,
        answer: Answer,
    },
    Kill(Answer),
    Pause(Answer),
    Resume(Answer),
    Reset(Answer),
    SoftReboot(Answer),
    SetLinks(Vec<Link>, Answer),
    /// For what takes its time and changes nothing here.
    Machine(oneshot::Sender<Result<Arc<dyn Machine>, Refusal>>),
}

pub(super) type Answer = oneshot::Sender<Result<(), Refusal>>;

/// Sends commands to the supervisor's task.
#[derive(Debug)]
pub(super) struct Handle {
    commands: mpsc::Sender<Command>,
    states: watch::Receiver<MachineState>,
    run_dir: PathBuf,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        states: watch::Receiver<MachineState>,
        run_dir: PathBuf,
    ) -> Self {
        Self { commands, states, run_dir }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Command + Send,
    ) -> Result<T, Refusal> {
        let ending = || Refusal::Failed("the launcher is ending".to_owned());
        let (sender, answer) = oneshot::channel();
        self.commands.send(command(sender)).await.map_err(|_| ending())?;
        answer.await.map_err(|_| ending())?
    }
}

#[async_trait]
impl launcher_channel::Supervisor for Handle {
    async fn start(&self, order: StartOrder) -> Result<MachineState, Refusal> {
        self.ask(|answer| Command::Start(Box::new(order), answer)).await
    }

    async fn shutdown(&self, grace_period_seconds: u64) -> Result<(), Refusal> {
        self.ask(|answer| Command::Shutdown { grace_period_seconds, answer }).await
    }

    async fn kill(&self) -> Result<(), Refusal> {
        self.ask(Command::Kill).await?;
        let mut states = self.states.clone();
        let ended =
            tokio::time::timeout(KILL_PATIENCE, states.wait_for(|state| is_final(state.phase()))).await;
        match ended {
            // A launcher that ends while we wait has seen the machine's end.
            Ok(_) => Ok(()),
            Err(_) => Err(Refusal::Failed(format!("the hypervisor is not gone after {KILL_PATIENCE:?}"))),
        }
    }

    async fn pause(&self) -> Result<(), Refusal> {
        self.ask(Command::Pause).await
    }

    async fn resume(&self) -> Result<(), Refusal> {
        self.ask(Command::Resume).await
    }

    async fn reset(&self) -> Result<(), Refusal> {
        self.ask(Command::Reset).await
    }

    async fn soft_reboot(&self) -> Result<(), Refusal> {
        self.ask(Command::SoftReboot).await
    }

    async fn freeze(&self, unfreeze_after_seconds: u64) -> Result<(), Refusal> {
        questions::freeze(self.ask(Command::Machine).await?, unfreeze_after_seconds).await
    }

    async fn unfreeze(&self) -> Result<(), Refusal> {
        questions::unfreeze(&*self.ask(Command::Machine).await?).await
    }

    async fn ask_guest(&self, wanted: AskGuestRequest) -> Result<GuestAnswer, Refusal> {
        questions::ask(&*self.ask(Command::Machine).await?, wanted).await
    }

    async fn give_credentials(&self, credentials: CredentialsRequest) -> Result<(), Refusal> {
        questions::give_credentials(&*self.ask(Command::Machine).await?, credentials).await
    }

    async fn probe_guest(&self, wanted: ProbeGuestRequest) -> Result<ProbeGuestAnswer, Refusal> {
        probing::probe(&*self.ask(Command::Machine).await?, wanted).await
    }

    async fn set_links(&self, links: Vec<Link>) -> Result<(), Refusal> {
        self.ask(|answer| Command::SetLinks(links, answer)).await
    }

    async fn screenshot(&self) -> Result<Vec<u8>, Refusal> {
        questions::screenshot(&*self.ask(Command::Machine).await?, &self.run_dir).await
    }

    fn states(&self) -> watch::Receiver<MachineState> {
        self.states.clone()
    }
}
