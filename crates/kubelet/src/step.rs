//! What to do next with one Pod, as a pure function.
//!
//! ```text
//!            start fails                  ends by itself
//!   absent ──────────────> trouble    ┌──────────────────────────┐
//!     │  ^                    │       │                          v
//!     │  └──── back-off ──────┘   running ── deleted ──> ending ──> ended ──> forgotten
//!     └──────── start ────────────────^       SIGTERM, then SIGKILL
//! ```

use std::time::Duration;

use jiff::Timestamp;

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
    pub retry_at: Option<Timestamp>,
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
    /// Whether SIGKILL was sent.
    pub killed: bool,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make images, volumes, network and jail, and execute the program.
    Start,
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
pub fn step(now: Timestamp, pod: Option<&PodView>, local: &Local) -> Vec<Action> {
    let left = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
    match (pod, &local.record) {
        (None, None) => vec![Action::Forget],
        (None, Some(record)) if record.end.is_some() => vec![Action::Release, Action::Forget],
        // Nobody wants it any more: there is nothing to be graceful for.
        (None, Some(_)) => vec![Action::Kill, Action::Wake(KILL_CHECK)],
        (Some(pod), None) => match (pod.deadline, &local.trouble) {
            (Some(_), _) => vec![Action::Forget, Action::Delete],
            _ if pod.status.is_terminal() => vec![],
            (None, None) => vec![Action::Start],
            (None, Some(trouble)) => match trouble.retry_at {
                Some(at) if at <= now => vec![Action::Start],
                Some(at) => vec![Action::Report, Action::Wake(left(at))],
                None => vec![Action::Report],
            },
        },
        (Some(pod), Some(record)) if record.end.is_some() => match pod.deadline {
            Some(_) if pod.has_finalizers => {
                vec![Action::Release, Action::Report, Action::Forget, Action::Delete]
            }
            Some(_) => vec![Action::Release, Action::Forget, Action::Delete],
            None => vec![Action::Release, Action::Report],
        },
        (Some(pod), Some(record)) => match pod.deadline {
            None => vec![Action::Report],
            Some(_) if local.killed => vec![Action::Kill, Action::Wake(KILL_CHECK)],
            Some(deadline) if deadline <= now => vec![Action::Kill, Action::Wake(KILL_CHECK)],
            Some(deadline) if record.terminating_since.is_some() => vec![Action::Wake(left(deadline))],
            Some(deadline) => vec![Action::Terminate, Action::Wake(left(deadline))],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::End;
    use crate::view::StatusView;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn pod(deadline: Option<i64>) -> PodView {
        PodView {
            uid: "u".into(),
            deadline: deadline.map(at),
            has_finalizers: false,
            containers: vec![("compute".into(), "image".into())],
            init_containers: Vec::new(),
            gates: std::collections::BTreeMap::new(),
            status: StatusView::default(),
        }
    }

    fn started(terminating: bool, end: Option<i32>) -> Local {
        let record = Record {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            process: None,
            executed: true,
            address: None,
            address6: None,
            started_at: at(0),
            logs: Vec::new(),
            exit_code: None,
            terminating_since: terminating.then_some(at(1)),
            end: end.map(|code| End { code: Some(code), at: at(2) }),
        };
        Local { record: Some(record), ..Local::default() }
    }

    fn failed(retry_at: Option<i64>) -> Local {
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
        use Action::{Delete, Forget, Kill, Release, Report, Start, Terminate, Wake};
        let seconds = Duration::from_secs;
        let killed = Local { killed: true, ..started(true, None) };
        let table: Vec<(&str, Option<PodView>, Local, Vec<Action>)> = vec![
            ("new", Some(pod(None)), Local::default(), vec![Start]),
            ("waits to try again", Some(pod(None)), failed(Some(12)), vec![Report, Wake(seconds(2))]),
            ("tries again", Some(pod(None)), failed(Some(10)), vec![Start]),
            ("never works", Some(pod(None)), failed(None), vec![Report]),
            ("deleted before it started", Some(pod(Some(40))), failed(None), vec![Forget, Delete]),
            ("runs", Some(pod(None)), started(false, None), vec![Report]),
            ("is to end", Some(pod(Some(40))), started(false, None), vec![Terminate, Wake(seconds(30))]),
            ("is ending", Some(pod(Some(40))), started(true, None), vec![Wake(seconds(30))]),
            ("did not end in time", Some(pod(Some(10))), started(true, None), vec![Kill, Wake(KILL_CHECK)]),
            ("was killed", Some(pod(Some(40))), killed, vec![Kill, Wake(KILL_CHECK)]),
            ("ended by itself", Some(pod(None)), started(false, Some(0)), vec![Release, Report]),
            ("ended as asked", Some(pod(Some(40))), started(true, Some(0)), vec![Release, Forget, Delete]),
            ("nobody wants it", None, started(false, None), vec![Kill, Wake(KILL_CHECK)]),
            ("nobody wanted it", None, started(false, Some(137)), vec![Release, Forget]),
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
