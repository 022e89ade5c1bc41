//! Asks the guest's agent how the guest is, ever more rarely.

use std::sync::Arc;
use std::time::Duration;

use hypervisor::{AgentError, GuestAgent, GuestInterface, GuestOs};
use tokio::sync::{mpsc, watch};

use super::supervisor::Report;

/// First wait between two rounds; doubles up to the longest while nothing changes.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest wait between two rounds.
const LONGEST: Duration = Duration::from_secs(60);

/// What the guest says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    /// Whether its agent answered.
    pub(super) connected: bool,
    /// Its operating system.
    pub(super) os: GuestOs,
    /// Its host name.
    pub(super) hostname: String,
    /// Its network interfaces.
    pub(super) interfaces: Vec<GuestInterface>,
}

/// Asks whenever the guest has its channel open, until dropped. Reports changes only.
pub(super) async fn watch(
    agent: Arc<dyn GuestAgent>,
    mut open: watch::Receiver<bool>,
    reports: mpsc::Sender<Report>,
) {
    let mut last = Guest::default();
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let mut wait = SHORTEST;
        while *open.borrow_and_update() {
            let guest = ask(&*agent, &last).await;
            if guest == last {
                wait = (wait * 2).min(LONGEST);
            } else {
                wait = SHORTEST;
                last = guest.clone();
                if reports.send(Report::Guest(guest)).await.is_err() {
                    return;
                }
            }
            // A guest that closes its channel ends the wait.
            if let Ok(Err(_)) = tokio::time::timeout(wait, open.changed()).await {
                return;
            }
        }
        if last.connected {
            last.connected = false;
            last.interfaces.clear();
            if reports.send(Report::Guest(last.clone())).await.is_err() {
                return;
            }
        }
    }
}

/// One round of questions. What an agent refuses to say stays as it was known.
async fn ask(agent: &dyn GuestAgent, last: &Guest) -> Guest {
    let silent = |error: &AgentError| matches!(error, AgentError::Silent | AgentError::Channel(_));
    let gone = || Guest { connected: false, interfaces: Vec::new(), ..last.clone() };
    if let Err(error) = agent.ping().await {
        tracing::debug!(%error, "ping the guest agent");
        return gone();
    }
    let mut guest = Guest { connected: true, ..last.clone() };
    // The system does not change under an agent that was asked once.
    if !last.connected || last.os == GuestOs::default() {
        match agent.os().await {
            Ok(os) => guest.os = os,
            Err(error) if silent(&error) => return gone(),
            Err(error) => tracing::debug!(%error, "ask for the guest's operating system"),
        }
    }
    match agent.hostname().await {
        Ok(hostname) => guest.hostname = hostname,
        Err(error) if silent(&error) => return gone(),
        Err(error) => tracing::debug!(%error, "ask for the guest's host name"),
    }
    match agent.interfaces().await {
        Ok(interfaces) => guest.interfaces = interfaces,
        Err(error) if silent(&error) => return gone(),
        Err(error) => tracing::debug!(%error, "ask for the guest's interfaces"),
    }
    guest
}

#[cfg(test)]
mod tests {
    use hypervisor::Machine;
    use hypervisor::contract::guest;
    use hypervisor::simulated::{self, Simulation};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_are_reported_and_nothing_else() {
        let mut record = guest::record("kernel").unwrap();
        record.agent =
            serde_json::from_value(serde_json::json!({"address": {"type": "unit", "unit": 0}})).unwrap();
        let machine = Simulation::new(record, simulated::Guest::default());
        let (opened, open) = watch::channel(false);
        let (sender, mut reports) = mpsc::channel(4);
        tokio::spawn(watch(machine.agent().unwrap(), open, sender));

        machine.resume().await.unwrap();
        opened.send_replace(true);
        let Some(Report::Guest(guest)) = reports.recv().await else { panic!("a report") };
        assert!(guest.connected);
        assert_eq!(guest.os.id, "simulated");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(reports.try_recv().is_err(), "nothing changed");

        opened.send_replace(false);
        let Some(Report::Guest(guest)) = reports.recv().await else { panic!("a report") };
        assert!(!guest.connected);
        assert_eq!(guest.os.id, "simulated", "what was known stays");
    }
}
