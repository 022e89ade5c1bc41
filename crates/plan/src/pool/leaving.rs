//! When a machine that is, or was, a pool's may go: its finalizer holds it until then.

use super::{Pool, ScaleIn};

/// What a machine gets before it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Whether its disks are taken off it, so that they stay.
    pub keeps_disks: bool,
}

/// Decides whether a machine is let go that has a pool's finalizer, and how. `pool` is the pool that controls it, if there
/// is one: a machine whose owner was taken off it, or whose pool is gone, waits for nobody.
pub fn leave(deleting: bool, pool: Option<&Pool>) -> Option<Farewell> {
    let Some(pool) = pool else { return Some(Farewell { keeps_disks: false }) };
    // What the pool chose has been taken care of; this is what somebody else deleted.
    let keeps = matches!(pool.scale_in, ScaleIn::Opportunistic { keeps_disks: true });
    deleting.then_some(Farewell { keeps_disks: keeps && !pool.deleting })
}
