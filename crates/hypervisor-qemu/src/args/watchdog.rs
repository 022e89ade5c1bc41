//! The watchdog.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::{Watchdog, WatchdogAction};

use super::builder::Builder;
use super::pci::{self, Kind};

pub(super) fn add(builder: &mut Builder<'_>, watchdog: Option<&Watchdog>) -> Result<(), PlanError> {
    let Some(watchdog) = watchdog else { return Ok(()) };
    let place = pci::place("watchdog", &watchdog.address, Kind::Conventional)?;
    pci::device(builder, "i6300esb", place, json!({"id": "watchdog0"}));
    let action = match watchdog.action {
        WatchdogAction::Reset => "reset",
        WatchdogAction::Poweroff => "poweroff",
        WatchdogAction::Shutdown => "shutdown",
    };
    builder.option("-action", format!("watchdog={action}"));
    Ok(())
}
