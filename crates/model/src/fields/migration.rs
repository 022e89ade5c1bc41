//! Fields of a `VirtualMachineInstanceMigration`.

use super::{Table, refused};

/// Paths below `spec` of a migration.
pub(super) const TABLE: Table =
    &[("", refused("machines do not move while they run yet", "stop and start the machine"))];
