//! The memory balloon.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::Balloon;

use super::builder::Builder;
use super::pci::{self, Kind};
use super::virtio::Virtio;

pub(super) fn add(
    builder: &mut Builder<'_>,
    balloon: Option<&Balloon>,
    virtio: Virtio,
) -> Result<(), PlanError> {
    let Some(balloon) = balloon else { return Ok(()) };
    let place = pci::place("memory balloon", &balloon.address, virtio.kind(Kind::Integrated))?;
    // Pages that the guest has freed go back to the host without anybody asking.
    pci::device(
        builder,
        &virtio.driver("virtio-balloon-pci"),
        place,
        json!({
            "id": "balloon0",
            "free-page-reporting": true,
            "guest-stats-polling-interval": (balloon.stats_period_seconds > 0).then_some(balloon.stats_period_seconds),
        }),
    );
    Ok(())
}
