//! The system calls that QEMU gives up.

use super::builder::Builder;

/// QEMU never executes programs, changes its rights or its priorities; a guest that takes it over cannot either.
pub(super) fn add(builder: &mut Builder<'_>) {
    builder.option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}
