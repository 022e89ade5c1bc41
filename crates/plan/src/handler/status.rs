//! The status of an instance as its launcher shows it.

use api::names::{condition as kind, phase, reason};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    GuestInterface, Launcher, Machine, MachinePhase, Moving, Observed, Status, credentials, life, stall,
};
use crate::condition::{self, Condition};
use crate::time;
use crate::vmi::PhaseTime;

/// Most interfaces that only the guest knows are shown; a container host in a guest has hundreds.
const GUEST_ONLY_INTERFACES: usize = 10;

/// Returns the status as it should be.
pub(super) fn of(observed: &Observed, now: Timestamp) -> Status {
    let mut status = observed.instance.status.clone();
    match &observed.launcher {
        Launcher::Silent => {}
        Launcher::Connected(machine) => of_machine(&mut status, observed, machine, now),
    }
    let instance = &observed.instance;
    // What keeps a machine from starting troubles nobody once it is not wanted.
    let given_up = instance.deleting && instance.phase() == phase::SCHEDULED;
    // It is over once the machine runs: one write says both.
    let begun = instance.phase() == phase::SCHEDULED && status.phase.as_deref() == Some(phase::RUNNING);
    match observed.trouble.as_ref().filter(|_| !given_up && !begun) {
        Some(trouble) => {
            let condition =
                Condition::new(kind::SYNCHRONIZED, false, &trouble.reason, trouble.message.clone());
            condition::set(&mut status.conditions, condition, now);
        }
        None => condition::remove(&mut status.conditions, kind::SYNCHRONIZED),
    }
    status
}

fn of_machine(status: &mut Status, observed: &Observed, machine: &Machine, now: Timestamp) {
    let (next, why) = match machine.phase {
        // A machine that was deleted before it started has nothing to end.
        MachinePhase::Idle if observed.instance.deleting => {
            (phase::SUCCEEDED, "The machine was deleted before it started")
        }
        MachinePhase::Failed
            if observed.instance.deleting && observed.instance.phase() == phase::SCHEDULED =>
        {
            (phase::SUCCEEDED, "The machine was deleted before it started")
        }
        MachinePhase::Idle | MachinePhase::Starting => return,
        // It is tried again; what stopped it is in the trouble.
        MachinePhase::Failed if observed.instance.phase() == phase::SCHEDULED => return,
        MachinePhase::Running | MachinePhase::Paused => (phase::RUNNING, ""),
        MachinePhase::ShuttingDown => (observed.instance.phase(), ""),
        MachinePhase::ShutOff => (phase::SUCCEEDED, machine.message.as_str()),
        MachinePhase::Crashed | MachinePhase::Failed => (phase::FAILED, machine.message.as_str()),
    };
    if observed.instance.phase() != next {
        enter(status, next, why, now);
    }
    let live = next == phase::RUNNING;
    if live || machine.phase == MachinePhase::ShuttingDown {
        shape(status, machine);
    }
    conditions(status, observed, machine, live, now);
    credentials::judge(&mut status.conditions, observed, live, now);
    life::judge(&mut status.conditions, observed, machine, now);
}

fn enter(status: &mut Status, next: &str, why: &str, now: Timestamp) {
    status.phase = Some(next.to_owned());
    status.reason = (!why.is_empty()).then(|| why.to_owned());
    if !status.phase_transition_timestamps.iter().any(|known| known.phase == next) {
        status
            .phase_transition_timestamps
            .push(PhaseTime { phase: next.to_owned(), phase_transition_timestamp: Some(time::stamp(now)) });
    }
}

/// What the machine looks like.
fn shape(status: &mut Status, machine: &Machine) {
    let guest_only = machine.interfaces.iter().filter(|interface| interface.name.is_empty());
    let specified = machine.interfaces.iter().filter(|interface| !interface.name.is_empty());
    status.interfaces = specified.chain(guest_only.take(GUEST_ONLY_INTERFACES)).map(interface).collect();
    status.machine = Some(json!({ "type": machine.machine_type }));
    status.migration_method = Some(machine.moving.method().to_owned());
    let size = quantity(machine.memory);
    status.memory = Some(json!({ "guestAtBoot": size, "guestCurrent": size, "guestRequested": size }));
    let topology = machine.topology;
    status.current_cpu_topology =
        Some(json!({ "cores": topology.cores, "sockets": topology.sockets, "threads": topology.threads }));
    status.volume_status = machine
        .volumes
        .iter()
        .map(|volume| {
            let mut value = json!({ "name": volume.name, "target": volume.target });
            if volume.size > 0 {
                value["size"] = json!(volume.size);
            }
            if let Some(claim) = &volume.claim {
                value["persistentVolumeClaimInfo"] = claim.clone();
            }
            value
        })
        .collect();
    if machine.guest_os.is_some() {
        status.guest_os_info.clone_from(&machine.guest_os);
    }
}

fn interface(interface: &GuestInterface) -> Value {
    let mut value = json!({});
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            value[name] = json!(text);
        }
    };
    put("infoSource", &interface.sources.join(", "));
    put("interfaceName", &interface.guest_name);
    put("ipAddress", interface.addresses.first().map_or("", String::as_str));
    put("mac", &interface.mac);
    put("name", &interface.name);
    put("podInterfaceName", &interface.pod_interface);
    if !interface.addresses.is_empty() {
        value["ipAddresses"] = json!(interface.addresses);
    }
    if !interface.name.is_empty() {
        value["linkState"] = json!(if interface.link_up { "up" } else { "down" });
        value["queueCount"] = json!(1);
    }
    value
}

fn conditions(status: &mut Status, observed: &Observed, machine: &Machine, live: bool, now: Timestamp) {
    let conditions = &mut status.conditions;
    if stall::judge(conditions, machine, &observed.stall, now) {
        // Told there.
    } else if machine.phase == MachinePhase::Paused {
        let reason = match machine.reason.as_str() {
            "" | "Paused" | "StartedPaused" => reason::PAUSED_BY_USER,
            other => other,
        };
        condition::set(conditions, Condition::new(kind::PAUSED, true, reason, machine.message.clone()), now);
    } else {
        condition::remove(conditions, kind::PAUSED);
    }
    if machine.agent_connected && live {
        condition::set(conditions, Condition::new(kind::AGENT_CONNECTED, true, "", ""), now);
    } else {
        condition::remove(conditions, kind::AGENT_CONNECTED);
    }
    if live {
        machine.moving.tell(conditions, now);
        // virt-controller would copy the Pod's readiness in a write of its own; here it costs none.
        let waits = condition::find(conditions, kind::READY)
            .is_some_and(|ready| ready.is_false() && ready.reason() == reason::GUEST_NOT_RUNNING);
        let paused = condition::is_true(conditions, kind::PAUSED);
        if paused && (waits || condition::is_true(conditions, kind::READY)) {
            condition::set(conditions, condition::paused_is_not_ready(), now);
        } else if waits && !observed.instance.probed {
            condition::set(conditions, Condition::new(kind::READY, true, "", ""), now);
        }
    } else {
        Moving::forget(conditions);
    }
    if matches!(machine.phase, MachinePhase::ShutOff | MachinePhase::Crashed | MachinePhase::Failed) {
        let message = "The guest is not reported as running";
        condition::set(
            conditions,
            Condition::new(kind::READY, false, reason::GUEST_NOT_RUNNING, message),
            now,
        );
    }
}

/// Bytes in the largest binary unit that divides them.
fn quantity(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| bytes.to_string(), |(size, name)| format!("{}{name}", bytes / size))
}
