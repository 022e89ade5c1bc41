//! What a launcher reports, joined with what was prepared for its machine.

use std::net::Ipv6Addr;

use jiff::Timestamp;
use model::record::Places;
use plan::handler::{GuestInterface, Machine, MachinePhase, Topology};
use wire::launcher::v1::MachineState;
use wire::launcher::v1::machine_state::Phase;
use wire::machine::Nic;

use crate::keep::Kept;

/// A time as launchers report it; 0 is none.
fn instant(milliseconds: u64) -> Option<Timestamp> {
    let milliseconds = i64::try_from(milliseconds).ok().filter(|milliseconds| *milliseconds > 0)?;
    Timestamp::from_millisecond(milliseconds).ok()
}

/// Joins what the launcher reports with what was prepared.
pub(crate) fn machine(state: &MachineState, kept: Option<&Kept>) -> Machine {
    let mut machine = Machine {
        phase: match state.phase() {
            Phase::Unspecified | Phase::Idle => MachinePhase::Idle,
            Phase::Starting => MachinePhase::Starting,
            Phase::Running => MachinePhase::Running,
            Phase::Paused => MachinePhase::Paused,
            Phase::ShuttingDown => MachinePhase::ShuttingDown,
            Phase::ShutOff => MachinePhase::ShutOff,
            Phase::Crashed => MachinePhase::Crashed,
            Phase::Failed => MachinePhase::Failed,
        },
        reason: state.reason.clone(),
        message: state.message.clone(),
        agent_connected: state.agent_connected,
        executed_at: instant(state.executed_at_ms),
        shows_life: state.first_output_at_ms != 0
            || state.agent_connected
            || state.interfaces.iter().any(|interface| !interface.addresses.is_empty()),
        changed_at: instant(state.changed_at_ms),
        guest_os: state.guest_os.as_ref().map(|os| {
            serde_json::json!({
                "id": os.id, "kernelRelease": os.kernel_release, "kernelVersion": os.kernel_version,
                "machine": os.machine, "name": os.name, "prettyName": os.pretty_name,
                "version": os.version, "versionId": os.version_id,
            })
        }),
        ..Machine::default()
    };
    let Some(kept) = kept else { return machine };
    let record = &kept.record;
    machine.machine_type.clone_from(&record.machine_type);
    machine.memory = record.memory.size;
    machine.topology =
        Topology { sockets: record.cpu.sockets, cores: record.cpu.cores, threads: record.cpu.threads };
    machine.volumes = kept.volumes();
    machine.moving.clone_from(&kept.moving);
    machine.places = Some(Places::of(record).to_text());
    for nic in &record.nics {
        let reported = state.interfaces.iter().find(|interface| interface.mac.eq_ignore_ascii_case(&nic.mac));
        let mut sources = vec!["domain".to_owned()];
        if reported.is_some_and(|interface| interface.sources.iter().any(|source| source == "guest-agent")) {
            sources.push("guest-agent".to_owned());
        }
        machine.interfaces.push(GuestInterface {
            name: nic.name.clone(),
            mac: nic.mac.clone(),
            addresses: addresses(
                nic,
                &kept.pod_ips,
                reported.map(|interface| interface.addresses.as_slice()),
            ),
            pod_interface: network::binding::POD_INTERFACE.to_owned(),
            guest_name: reported.map(|interface| interface.guest_name.clone()).unwrap_or_default(),
            sources,
            // Launchers of earlier releases cannot change it, nor tell.
            link_up: reported.and_then(|interface| interface.link_up).unwrap_or(nic.link_up),
        });
    }
    let unknown = |mac: &str| !record.nics.iter().any(|nic| nic.mac.eq_ignore_ascii_case(mac));
    for interface in
        state.interfaces.iter().filter(|interface| !interface.mac.is_empty() && unknown(&interface.mac))
    {
        machine.interfaces.push(GuestInterface {
            mac: interface.mac.clone(),
            addresses: interface.addresses.clone(),
            guest_name: interface.guest_name.clone(),
            sources: interface.sources.clone(),
            link_up: true,
            ..GuestInterface::default()
        });
    }
    machine
}

/// Returns the addresses that a machine is reached at on an interface.
///
/// A machine behind its Pod is reached at the Pod's; its own are between the two of them. One that has its Pod's address
/// itself may have others beside it; those of the link only reach nobody.
fn addresses(nic: &Nic, pod: &[String], reported: Option<&[String]>) -> Vec<String> {
    let mut addresses = pod.to_vec();
    let has_pods = nic.dhcp.as_ref().is_some_and(|lease| pod.contains(&lease.address.to_string()));
    let is_of_link =
        |address: &str| address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_unicast_link_local());
    for address in reported.unwrap_or_default() {
        if has_pods && !addresses.contains(address) && !is_of_link(address) {
            addresses.push(address.clone());
        }
    }
    addresses
}
