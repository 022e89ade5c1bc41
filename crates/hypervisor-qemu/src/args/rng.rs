//! The random number generator.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::Rng;

use super::builder::Builder;
use super::pci::{self, Kind};

pub(super) fn add(builder: &mut Builder<'_>, rng: Option<&Rng>) -> Result<(), PlanError> {
    let Some(rng) = rng else { return Ok(()) };
    let place = pci::place("random number generator", &rng.address, Kind::Integrated)?;
    // Fed by getrandom(2): no device node has to be there.
    builder.json("-object", json!({"qom-type": "rng-builtin", "id": "random"}));
    pci::device(builder, "virtio-rng-pci", place, json!({"id": "rng0", "rng": "random"}));
    Ok(())
}
