//! Machines whose disk failed: what was tried, and how much room there is. Judgement: [`plan::handler`].

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use kube_ext::Key;
use parking_lot::Mutex;
use plan::handler::{Launcher, MachinePhase, Stall};

use crate::room;

/// Reason that launchers give for a machine that stands still because of a disk.
const IO_ERROR: &str = "IOError";
/// After how many seconds of running an attempt to go on has succeeded for good.
const FORGET: i64 = 60;

/// Attempts to go on, by instance. Lost with the process: the next one begins with short waits again.
#[derive(Debug, Default)]
pub(crate) struct Stalls(Mutex<BTreeMap<Key, Attempts>>);

#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    count: u32,
    last: Option<Timestamp>,
}

impl Stalls {
    /// Returns what is known about the disks of a machine in the Pod whose directory is `pod`.
    pub(crate) fn observe<'a>(
        &self,
        key: &Key,
        launcher: &Launcher,
        pod: &Path,
        disks: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) -> Stall {
        let Launcher::Connected(machine) = launcher else { return Stall::default() };
        let failed = machine.phase == MachinePhase::Paused && machine.reason == IO_ERROR;
        let mut all = self.0.lock();
        if failed {
            let rooms = room::of_disks(pod, disks);
            if rooms.iter().any(plan::room::Room::is_short) {
                // Whoever waits for room begins anew once it is there.
                all.remove(key);
            }
            let attempts = all.get(key).copied().unwrap_or_default();
            return Stall { attempts: attempts.count, tried_at: attempts.last, rooms };
        }
        let attempts = all.get(key).copied().unwrap_or_default();
        if attempts.last.is_some_and(|last| now.as_second() - last.as_second() > FORGET) {
            all.remove(key);
        }
        Stall { attempts: attempts.count, tried_at: attempts.last, rooms: Vec::new() }
    }

    /// Counts an attempt.
    pub(crate) fn tried(&self, key: &Key, now: Timestamp) {
        let mut all = self.0.lock();
        let attempts = all.entry(key.clone()).or_default();
        *attempts = Attempts { count: attempts.count.saturating_add(1), last: Some(now) };
    }

    /// Forgets an instance.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}
