//! Fields of a `VirtualMachine` outside its template's specification.

use super::State::Honoured;
use super::{Table, harmless, only, refused};

/// Paths below `spec` of a machine.
pub(super) const TABLE: Table = &[
    (
        "dataVolumeTemplates",
        refused("volumes are not filled from sources yet", "use a containerDisk or an emptyDisk"),
    ),
    ("instancetype", Honoured),
    ("preference", Honoured),
    (
        "runStrategy",
        only(
            &["Always", "Halted", "Manual", "RerunOnFailure", "Once"],
            "machines do not move between clusters yet",
            "use Always, Halted or Manual",
        ),
    ),
    ("running", Honoured),
    ("template.metadata", Honoured),
    (
        "updateVolumesStrategy",
        harmless("volumes of a running machine are not exchanged yet; a restart takes the new ones"),
    ),
];
