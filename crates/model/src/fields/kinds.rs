//! Fields of the kinds beside machines, instances and the installation.

use super::State::{self, Honoured};
use super::{Table, harmless, harmless_unless};

/// Paths below `spec` of an instance type. What a field becomes in a machine has its own state there.
pub(super) const INSTANCETYPE: Table = &[("", Honoured)];

/// Paths below `spec` of a preference.
pub(super) const PREFERENCE: Table = &[("", Honoured)];

/// Paths below `spec` of a replica set. Those of its template are an instance's.
pub(super) const REPLICA_SET: Table = &[("", Honoured)];

/// Paths below `spec` of a pool. Those of its template are a machine's.
pub(super) const POOL: Table = &[
    ("", Honoured),
    ("scaleInStrategy.opportunistic.statePreservation", DISKS_ALONE),
    ("scaleInStrategy.proactive.statePreservation", DISKS_ALONE),
];

const DISKS_ALONE: State =
    harmless_unless(&["Disabled", "Offline"], "disks are kept, memory is not, as with Offline");

/// Paths below `spec` of a preset.
pub(super) const PRESET: Table = &[
    ("", Honoured),
    ("domain.chassis", NOT_SET),
    ("domain.devices", NOT_SET),
    ("domain.devices.watchdog", Honoured),
    ("domain.ioThreads", NOT_SET),
    ("domain.launchSecurity", NOT_SET),
    ("domain.machine", NOT_SET),
    ("domain.memory", NOT_SET),
    ("domain.rebootPolicy", NOT_SET),
    ("domain.resources", NOT_SET),
    ("domain.resources.requests", Honoured),
];

const NOT_SET: State = harmless_unless(
    &["{}"],
    "presets set clock, cpu, features, firmware, ioThreadsPolicy, devices.watchdog and resources.requests; use an \
     instance type and a preference",
);

/// Paths below `spec` of a migration policy.
pub(super) const POLICY: Table = &[("", harmless("machines do not move while they run yet"))];

/// Paths below `spec` of a snapshot and of its content.
pub(super) const SNAPSHOT: Table =
    &[("", harmless("nothing takes snapshots yet; stop the machine and copy its claims"))];

/// Paths below `spec` of a restore.
pub(super) const RESTORE: Table = &[("", harmless("nothing takes or restores snapshots yet"))];

/// Paths below `spec` of an export.
pub(super) const EXPORT: Table = &[("", harmless("nothing offers disks for download yet"))];

/// Paths below `spec` of a clone.
pub(super) const CLONE: Table =
    &[("", harmless("nothing clones machines yet; create a VirtualMachine with the same template"))];

/// Paths below `spec` of a backup and of its tracker.
pub(super) const BACKUP: Table =
    &[("", harmless("nothing copies disks while machines run yet; stop the machine and copy its claims"))];
