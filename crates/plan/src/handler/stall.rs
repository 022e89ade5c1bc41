//! A machine that stands still because a disk failed, most often for want of space.
//!
//! ```text
//!             disk fails                    no room: look every few seconds
//!   Running ------------> Paused (IOError) <------+
//!      ^                     |  room, and the wait is over
//!      |  still runs         v
//!      +---- a while ---- resumed ---- fails again: the wait doubles ----> Paused
//! ```
//!
//! Until a machine that was resumed has run for a while, its instance goes on to say that it is paused: an attempt that
//! fails at once is no news.

use std::time::Duration;

use api::names::{condition as kind, reason};
use jiff::Timestamp;

use super::{Machine, MachinePhase};
use crate::condition::{self, Condition};
use crate::room::Room;
use crate::time;

/// What the hypervisor says when a disk has failed.
pub(super) const IO_ERROR: &str = "IOError";
/// Between two looks for room.
const LOOK: Duration = Duration::from_secs(5);
/// Wait before the first attempt to go on, and the unit of those after it.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long a machine must run to count as going on.
const SETTLED: Duration = Duration::from_secs(5);

/// What is known about a machine's disks beside what the launcher reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Attempts to go on since the machine last ran for a while, or had no room.
    pub attempts: u32,
    /// The last of them.
    pub tried_at: Option<Timestamp>,
    /// Room on the file systems that hold the machine's disks; looked at only while it stands still.
    pub rooms: Vec<Room>,
}

impl Stall {
    fn short(&self) -> Option<&Room> {
        self.rooms.iter().find(|room| room.is_short())
    }

    /// Tells whether the machine runs, but has not run for long since it was resumed.
    fn settling(&self, machine: &Machine, now: Timestamp) -> Option<Duration> {
        let tried = self.tried_at.filter(|_| machine.phase == MachinePhase::Running)?;
        time::left(tried, SETTLED, now)
    }
}

/// What to do about a machine whose disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It never did, or is over it.
    Nothing,
    /// Let the processors run again.
    Resume,
    /// Look again.
    Wait(Duration, &'static str),
}

/// Decides whether the machine goes on.
pub(super) fn next(machine: &Machine, stall: &Stall, now: Timestamp) -> Next {
    if let Some(left) = stall.settling(machine, now) {
        return Next::Wait(left, "a machine that was resumed goes on running");
    }
    if !has_failed(machine) {
        return Next::Nothing;
    }
    if stall.short().is_some() {
        return Next::Wait(LOOK, "room for the machine's disk is looked for");
    }
    let since = match stall.tried_at {
        Some(tried) => time::left(tried, wait(stall.attempts), now),
        None => machine.changed_at.and_then(|at| time::left(at, FIRST_WAIT, now)),
    };
    match since {
        Some(left) => Next::Wait(left, "the machine is resumed after its disk failed"),
        None => Next::Resume,
    }
}

/// Returns the wait after `attempts` in vain.
fn wait(attempts: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1u32.checked_shl(attempts).unwrap_or(u32::MAX));
    doubled.min(LONGEST_WAIT)
}

/// Sets, keeps or removes the condition that tells of it. Returns whether it is this module's to tell.
pub(super) fn judge(
    conditions: &mut Vec<Condition>,
    machine: &Machine,
    stall: &Stall,
    now: Timestamp,
) -> bool {
    let told =
        condition::find(conditions, kind::PAUSED).is_some_and(|c| c.reason() == reason::PAUSED_IO_ERROR);
    if told && stall.settling(machine, now).is_some() {
        return true;
    }
    if !has_failed(machine) {
        return false;
    }
    let cause = machine.message.split(';').next().unwrap_or_default();
    let message = match stall.short() {
        Some(room) => format!("{cause}: {room}; the machine goes on by itself then"),
        None => format!(
            "{cause}; check the storage below it on the node. The machine is resumed by itself, with growing waits"
        ),
    };
    condition::set(conditions, Condition::new(kind::PAUSED, true, reason::PAUSED_IO_ERROR, message), now);
    true
}

fn has_failed(machine: &Machine) -> bool {
    machine.phase == MachinePhase::Paused && machine.reason == IO_ERROR
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn failed() -> Machine {
        Machine {
            phase: MachinePhase::Paused,
            reason: IO_ERROR.to_owned(),
            message: "disk root: No space left on device".to_owned(),
            changed_at: Some(at(100)),
            ..Machine::default()
        }
    }

    fn room(free: u64) -> Vec<Room> {
        vec![Room { mount: "/var".to_owned(), free, needed: 16 * MIB }]
    }

    #[test]
    fn without_room_nothing_is_tried_and_with_room_soon() {
        let short = Stall { rooms: room(0), ..Stall::default() };
        assert!(matches!(next(&failed(), &short, at(1000)), Next::Wait(LOOK, _)));
        let enough = Stall { rooms: room(16 * MIB), ..Stall::default() };
        assert!(matches!(next(&failed(), &enough, at(102)), Next::Wait(left, _) if left.as_secs() == 3));
        assert_eq!(next(&failed(), &enough, at(105)), Next::Resume);
    }

    #[test]
    fn attempts_in_vain_wait_longer_and_longer() {
        let seconds = |attempts| wait(attempts).as_secs();
        assert_eq!([1, 2, 3, 5, 6, 7, 40].map(seconds), [10, 20, 40, 160, 300, 300, 300]);
        let stall = Stall { attempts: 2, tried_at: Some(at(200)), rooms: room(99 * MIB) };
        assert!(matches!(next(&failed(), &stall, at(210)), Next::Wait(left, _) if left.as_secs() == 10));
        assert_eq!(next(&failed(), &stall, at(220)), Next::Resume);
    }

    #[test]
    fn the_condition_stays_until_the_machine_runs_for_a_while() {
        let mut conditions = Vec::new();
        let short = Stall { rooms: room(3 * MIB), ..Stall::default() };
        assert!(judge(&mut conditions, &failed(), &short, at(100)));
        let told = conditions[0].message().to_owned();
        assert!(told.contains("/var has 3 MiB left and 16 MiB are needed"), "{told}");
        let running = Machine { phase: MachinePhase::Running, ..Machine::default() };
        let tried = Stall { attempts: 1, tried_at: Some(at(200)), ..Stall::default() };
        assert!(judge(&mut conditions, &running, &tried, at(203)));
        assert_eq!(conditions[0].message(), told);
        assert!(matches!(next(&running, &tried, at(203)), Next::Wait(left, _) if left.as_secs() == 2));
        assert!(!judge(&mut conditions, &running, &tried, at(205)));
        assert_eq!(next(&running, &tried, at(205)), Next::Nothing);
    }
}
