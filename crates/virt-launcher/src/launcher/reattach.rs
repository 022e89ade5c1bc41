//! A control connection that broke while its hypervisor lives is made anew.
//!
//! Usually the connection ends because the process does, and the shim's notice follows within milliseconds. When none
//! comes, the machine goes on, but nobody could drive it or hear of it; so the launcher attaches again, for as long as
//! the process is there. What happened meanwhile shows in the state that is asked for then, or in the process's end.

use tokio::time::{Duration, Instant};

use super::status;
use super::supervisor::Supervisor;

/// Wait for the process's end before the first attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where re-attaching stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reattach {
    /// When the next attempt is due; none while the connection stands.
    at: Option<Instant>,
    wait: Duration,
}

impl Reattach {
    /// Returns when something is to be done.
    pub(super) fn next(&self) -> Option<Instant> {
        self.at
    }

    /// Waits for the next attempt: a little the first time, then longer each time.
    fn again(&mut self) {
        self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        self.at = Some(Instant::now() + self.wait);
    }
}

impl Supervisor {
    /// The control connection ended. Shortly before the process ends that is no news; the shim's notice says how.
    pub(super) fn connection_lost(&mut self) {
        if let Some(live) = &mut self.live {
            live.events = None;
            self.reattach = Reattach::default();
            self.reattach.again();
        }
    }

    /// Attaches to the process again, if it still lives.
    pub(super) async fn reattach(&mut self) {
        self.reattach.at = None;
        if self.live.is_none() {
            return;
        }
        // A process that hangs must not keep the launcher from hearing of its end.
        let attempt = tokio::time::timeout(PATIENCE, hypervisor_qemu::attach(&self.options.run_dir)).await;
        let attempt = attempt.map_err(|_| "it does not answer".to_owned());
        match attempt.and_then(|attached| attached.map_err(|error| error.to_string())) {
            Ok(attached) => {
                tracing::warn!("the hypervisor's control connection had broken; it stands again");
                let Some(live) = &mut self.live else { return };
                live.machine = attached.machine;
                live.events = Some(attached.events);
                match live.machine.agent_channel_open().await {
                    Ok(open) => drop(live.agent_open.send_replace(open)),
                    Err(error) => tracing::warn!(%error, "ask whether the guest's agent listens"),
                }
                self.reattach = Reattach::default();
                self.refresh().await;
            }
            Err(error) => {
                tracing::warn!(%error, "attach to the hypervisor again");
                if self.reattach.wait >= LONGEST_WAIT {
                    let message =
                        format!("the hypervisor runs but its control connection is broken: {error}");
                    status::publish(&self.states, |state| state.message = message);
                }
                self.reattach.again();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_their_limit() {
        let mut reattach = Reattach::default();
        assert_eq!(reattach.next(), None);
        let waits: Vec<u64> = std::iter::repeat_with(|| {
            reattach.again();
            (reattach.next().unwrap() - Instant::now()).as_millis() as u64
        })
        .take(8)
        .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }
}
