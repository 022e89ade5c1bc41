//! The random number generator.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::Rng;

use super::builder::Builder;
use super::pci::{self, Kind};
use super::virtio::Virtio;

pub(super) fn add(builder: &mut Builder<'_>, rng: Option<&Rng>, virtio: Virtio) -> Result<(), PlanError> {
    let Some(rng) = rng else { return Ok(()) };
    let place = pci::place("random number generator", &rng.address, virtio.kind(Kind::Integrated))?;
    // Fed by getrandom(2): no device node has to be there.
    builder.json("-object", json!({"qom-type": "rng-builtin", "id": "random"}));
    pci::device(builder, &virtio.driver("virtio-rng-pci"), place, json!({"id": "rng0", "rng": "random"}));
    Ok(())
}
