//! The channel to the guest's agent.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::AgentChannel;

use super::builder::{Builder, escape};
use super::pci::{self, Kind};
use super::virtio::Virtio;
use crate::AGENT_SOCKET;

/// Device of the agent's port; its events carry this name.
pub(crate) const PORT: &str = "agent0";

pub(super) fn add(
    builder: &mut Builder<'_>,
    agent: Option<&AgentChannel>,
    virtio: Virtio,
) -> Result<(), PlanError> {
    let Some(agent) = agent else { return Ok(()) };
    let place = pci::place("guest agent channel", &agent.address, virtio.kind(Kind::Integrated))?;
    pci::device(builder, &virtio.driver("virtio-serial-pci"), place, json!({"id": "serial-ports"}));
    let path = escape(&builder.socket(AGENT_SOCKET));
    builder.option("-chardev", format!("socket,id=agent,path={path},server=on,wait=off"));
    builder.json(
        "-device",
        json!({
            "driver": "virtserialport",
            "id": PORT,
            "bus": "serial-ports.0",
            "nr": 1,
            "chardev": "agent",
            "name": "org.qemu.guest_agent.0",
        }),
    );
    Ok(())
}
