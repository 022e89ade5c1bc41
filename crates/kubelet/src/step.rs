//! What to do next with one Pod, as a pure function.
//!
//! ```text
//!            start fails                  ends by itself
//!   absent ──────────────> trouble    ┌──────────────────────────┐
//!     │  ^                    │       │                          v
//!     │  └──── back-off ──────┘   running ── deleted ──> ending ──> ended ──> forgotten
//!     └──────── start ────────────────^       SIGTERM, then SIGKILL
//! ```
//!
//! A Pod that the API knows to run and that is absent here has ended: a first process is never started twice.
//!
//! All times here are [`effects::Clock::elapsed`]: a wall clock that is set must neither kill a guest in the middle of its
//! shutdown nor keep a Pod from being tried again. A Pod has its whole grace from when this kubelet asks it to end: a
//! node that was cut off hears late of a deletion, and its guests still have data to write.

use std::time::Duration;

use crate::probes::Verdict;
use crate::record::Record;
use crate::view::PodView;

/// What keeps a Pod from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word, for `state.waiting.reason`.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// How often starting has failed.
    pub attempts: u32,
    /// When to try again; `None` when only another Pod would help.
    pub retry_at: Option<Duration>,
}

impl Trouble {
    /// Returns how long to wait after so many failures: 2 s, doubled up to 60 s.
    pub fn pause(attempts: u32) -> Duration {
        Duration::from_secs(60.min(2 << attempts.saturating_sub(1).min(5)))
    }
}

/// What this machine has of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// What was started.
    pub record: Option<Record>,
    /// Why nothing was started.
    pub trouble: Option<Trouble>,
    /// Since when it is asked to end, by this kubelet.
    pub asked_at: Option<Duration>,
    /// Whether SIGKILL was sent.
    pub killed: bool,
    /// What its probes have found.
    pub verdict: Verdict,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make images, volumes, network and jail, and execute the program.
    Start,
    /// Take note that what ran of it is gone without a trace.
    Lose,
    /// Ask the first process to end.
    Terminate,
    /// End every process of the Pod.
    Kill,
    /// Free what only a running Pod needs: network and control group.
    Release,
    /// Remove all that this machine has of the Pod.
    Forget,
    /// Write the status, where it differs from what the API has.
    Report,
    /// Remove the API object.
    Delete,
    /// Look again after this time.
    Wake(Duration),
}

/// How long after a SIGKILL to look whether it worked.
const KILL_CHECK: Duration = Duration::from_millis(500);

/// Decides what to do. `pod` is `None` when the API has no such Pod (any more).
pub fn step(now: Duration, pod: Option<&PodView>, local: &Local) -> Vec<Action> {
    match (pod, &local.record) {
        (None, None) => vec![Action::Forget],
        (None, Some(record)) if record.end.is_some() => vec![Action::Release, Action::Forget],
        // Nobody wants it any more: there is nothing to be graceful for.
        (None, Some(_)) => vec![Action::Kill, Action::Wake(KILL_CHECK)],
        (Some(pod), None) => match (pod.grace, &local.trouble) {
            (Some(_), _) => vec![Action::Forget, Action::Delete],
            _ if pod.status.is_terminal() => vec![],
            // It ran: whoever works with it must not find another in its place that nobody knows of.
            _ if pod.status.phase == "Running" => vec![Action::Lose],
            (None, None) => vec![Action::Start],
            (None, Some(trouble)) => match trouble.retry_at {
                Some(at) if at <= now => vec![Action::Start],
                Some(at) => vec![Action::Report, Action::Wake(at.saturating_sub(now))],
                None => vec![Action::Report],
            },
        },
        (Some(pod), Some(record)) if record.end.is_some() => match pod.grace {
            Some(_) if pod.has_finalizers => {
                vec![Action::Release, Action::Report, Action::Forget, Action::Delete]
            }
            Some(_) => vec![Action::Release, Action::Forget, Action::Delete],
            None => vec![Action::Release, Action::Report],
        },
        (Some(pod), Some(_)) => match pod.grace {
            Some(grace) => end(now, grace, local),
            // First the word why: whoever hears of the end must not take it for the guest's own.
            None if local.verdict.dead.is_some() || pod.status.is_not_alive() => {
                std::iter::once(Action::Report).chain(end(now, pod.end_grace, local)).collect()
            }
            None => vec![Action::Report],
        },
    }
}

/// Ends what runs: asks first, and kills when that has led to nothing.
fn end(now: Duration, grace: Duration, local: &Local) -> Vec<Action> {
    if local.killed || grace.is_zero() {
        return vec![Action::Kill, Action::Wake(KILL_CHECK)];
    }
    match local.asked_at.map(|asked| asked.saturating_add(grace)) {
        None => vec![Action::Terminate, Action::Wake(grace)],
        Some(deadline) if deadline <= now => vec![Action::Kill, Action::Wake(KILL_CHECK)],
        Some(deadline) => vec![Action::Wake(deadline.saturating_sub(now))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::End;
    use crate::view::{ConditionView, StatusView};

    use api::names::condition;

    use jiff::Timestamp;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn pod(grace: Option<u64>) -> PodView {
        PodView {
            uid: "u".into(),
            grace: grace.map(at),
            has_finalizers: false,
            containers: vec![("compute".into(), "image".into())],
            init_containers: Vec::new(),
            gates: std::collections::BTreeMap::new(),
            opens: Vec::new(),
            probes: Vec::new(),
            paused: false,
            end_grace: at(20),
            status: StatusView::default(),
        }
    }

    fn started(asked_at: Option<u64>, end: Option<i32>) -> Local {
        let record = Record {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            process: None,
            executed: true,
            address: None,
            address6: None,
            started_at: Timestamp::UNIX_EPOCH,
            logs: Vec::new(),
            exit_code: None,
            terminating_since: None,
            end: end.map(|code| End { code: Some(code), at: Timestamp::UNIX_EPOCH, starved: None }),
        };
        Local { record: Some(record), asked_at: asked_at.map(at), ..Local::default() }
    }

    fn failed(retry_at: Option<u64>) -> Local {
        let trouble = Trouble {
            reason: "ErrImagePull".into(),
            message: "no".into(),
            attempts: 1,
            retry_at: retry_at.map(at),
        };
        Local { trouble: Some(trouble), ..Local::default() }
    }

    #[test]
    fn every_state_has_its_actions() {
        use Action::{Delete, Forget, Kill, Lose, Release, Report, Start, Terminate, Wake};
        let seconds = Duration::from_secs;
        let killed = Local { killed: true, ..started(Some(1), None) };
        let mut ran = pod(None);
        ran.status.phase = "Running".into();
        let dead = |local: Local| {
            let verdict = Verdict { dead: Some("Liveness probe failed: no".into()), ..Verdict::default() };
            Local { verdict, ..local }
        };
        let mut known_dead = pod(None);
        let found = ConditionView { status: true, ..ConditionView::default() };
        known_dead.status.conditions.insert(condition::NOT_ALIVE.into(), found);
        let table: Vec<(&str, Option<PodView>, Local, Vec<Action>)> = vec![
            ("new", Some(pod(None)), Local::default(), vec![Start]),
            ("waits to try again", Some(pod(None)), failed(Some(12)), vec![Report, Wake(seconds(2))]),
            ("tries again", Some(pod(None)), failed(Some(10)), vec![Start]),
            ("never works", Some(pod(None)), failed(None), vec![Report]),
            ("deleted before it started", Some(pod(Some(30))), failed(None), vec![Forget, Delete]),
            ("ran, and is not here", Some(ran), Local::default(), vec![Lose]),
            ("runs", Some(pod(None)), started(None, None), vec![Report]),
            ("is to end", Some(pod(Some(30))), started(None, None), vec![Terminate, Wake(seconds(30))]),
            ("is ending", Some(pod(Some(30))), started(Some(1), None), vec![Wake(seconds(21))]),
            ("did not end in time", Some(pod(Some(9))), started(Some(1), None), vec![Kill, Wake(KILL_CHECK)]),
            ("is to end at once", Some(pod(Some(0))), started(None, None), vec![Kill, Wake(KILL_CHECK)]),
            ("was killed", Some(pod(Some(30))), killed, vec![Kill, Wake(KILL_CHECK)]),
            ("ended by itself", Some(pod(None)), started(None, Some(0)), vec![Release, Report]),
            ("ended as asked", Some(pod(Some(30))), started(Some(1), Some(0)), vec![Release, Forget, Delete]),
            (
                "is found dead",
                Some(pod(None)),
                dead(started(None, None)),
                vec![Report, Terminate, Wake(seconds(20))],
            ),
            (
                "was found dead, by the kubelet before",
                Some(known_dead),
                started(Some(1), None),
                vec![Report, Wake(seconds(11))],
            ),
            (
                "was found dead and is deleted at once",
                Some(pod(Some(0))),
                dead(started(Some(1), None)),
                vec![Kill, Wake(KILL_CHECK)],
            ),
            ("nobody wants it", None, started(None, None), vec![Kill, Wake(KILL_CHECK)]),
            ("nobody wanted it", None, started(None, Some(137)), vec![Release, Forget]),
        ];
        for (name, pod, local, expected) in table {
            assert_eq!(step(at(10), pod.as_ref(), &local), expected, "{name}");
        }
    }

    #[test]
    fn a_finished_pod_is_not_started_again() {
        let mut done = pod(None);
        done.status.phase = "Succeeded".into();
        assert_eq!(step(at(10), Some(&done), &Local::default()), []);
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses: Vec<u64> = (1..=7).map(|attempts| Trouble::pause(attempts).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }
}
