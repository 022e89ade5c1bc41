//! Paths whose work is not offered yet: refused as the reference refuses them where it would, and otherwise by saying
//! what is missing.

use http::{Response, StatusCode};

use super::objects::Instance;
use super::refusal::Refusal;
use super::route::{Action, Scope};
use super::{Body, Call, node};

/// Gates of volumes that come and go while a machine runs.
const HOTPLUG: [&str; 2] = ["HotplugVolumes", "DeclarativeHotplugVolumes"];
const HOTPLUG_OFF: &str = "Enable DeclarativeHotplugVolumes or HotplugVolumes feature gate to use this API.";
const SEV_GATE: &str = "WorkloadEncryptionSEV";
const INSTANCE_NOT_RUNNING: &str = "VMI is not running";

/// Volumes, memory dumps.
pub(super) async fn volumes(call: &Call<'_>, action: Action) -> Result<Response<Body>, Refusal> {
    if action == Action::RemoveMemoryDump {
        let machine = call.machine().await?;
        if machine.status.is_none_or(|status| status.memory_dump_request.is_none()) {
            let name = call.name;
            let why = format!("can't remove memory dump association for vm {name}, no association found");
            return Err(Refusal::conflict(Scope::Machine, name, why));
        }
        return Err(missing("memory dumps"));
    }
    if !HOTPLUG.iter().any(|gate| call.admission.config().gate(gate)) {
        return Err(Refusal::bad(HOTPLUG_OFF));
    }
    if call.route.scope == Scope::Machine {
        call.machine().await?;
        if action == Action::MemoryDump && !call.instance().await?.is_running() {
            return Err(Refusal::conflict(Scope::Instance, call.name, INSTANCE_NOT_RUNNING));
        }
    } else if !call.instance().await?.is_running() {
        return Err(Refusal::conflict(Scope::Instance, call.name, INSTANCE_NOT_RUNNING));
    }
    Err(missing("volumes that come and go while a machine runs"))
}

/// Memory encryption and its attestation. What reads refuses as plain text.
pub(super) async fn encryption(call: &Call<'_>, action: Action) -> Result<Response<Body>, Refusal> {
    if !call.admission.config().gate(SEV_GATE) {
        return Err(Refusal::bad(format!("'{SEV_GATE}' feature gate is not enabled")));
    }
    let refusal = match call.instance().await {
        Ok(instance) => judge_encryption(&instance, action),
        Err(refusal) => refusal,
    };
    Err(match action {
        Action::SevCertificates | Action::SevMeasurement => refusal.into_text(),
        _ => refusal,
    })
}

fn judge_encryption(instance: &Instance, action: Action) -> Refusal {
    let running = instance.is_running();
    let attestation = instance
        .spec
        .domain
        .launch_security
        .as_ref()
        .and_then(|security| security.pointer("/sev/attestation"))
        .is_some_and(|attestation| !attestation.is_null());
    match action {
        Action::SevMeasurement | Action::SevSecret if !running => instance.conflict(INSTANCE_NOT_RUNNING),
        _ if !attestation => instance.conflict("Attestation not requested for VMI"),
        _ => missing("memory encryption and its attestation"),
    }
}

/// Backups and their checkpoints.
pub(super) async fn backup(call: &Call<'_>, action: Action) -> Result<Response<Body>, Refusal> {
    let instance = call.instance().await?;
    if action == Action::RedefineCheckpoint {
        let tracked = instance.status.changed_block_tracking.as_ref();
        if tracked.is_none_or(|tracking| tracking.state != "Enabled") {
            return Err(instance.conflict("ChangedBlockTracking is not enabled"));
        }
    } else if !instance.is_running() {
        return Err(instance.conflict("VM is not running"));
    }
    node::reach(call.nodes, &instance).await?;
    Err(missing("backups"))
}

/// Devices and sockets of the client that reach into the guest.
pub(super) async fn passthrough(call: &Call<'_>, action: Action) -> Result<Response<Body>, Refusal> {
    let instance = call.instance().await?;
    let devices = &instance.spec.domain.devices;
    let what = if action == Action::UsbRedirection {
        if devices.client_passthrough.is_none() {
            return Err(instance.conflict("Not configured with USB Redirection"));
        }
        "USB devices of the client"
    } else {
        if devices.autoattach_vsock != Some(true) {
            return Err(Refusal::bad("VSOCK is not attached."));
        }
        "VSOCK connections"
    };
    if !instance.is_running() {
        return Err(Refusal::bad(INSTANCE_NOT_RUNNING));
    }
    node::reach(call.nodes, &instance).await?;
    Err(missing(what))
}

/// The tree of objects that belong to a machine.
pub(super) async fn graph(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    if !call.admission.config().gate("ObjectGraph") {
        return Err(Refusal::bad("ObjectGraph feature gate not enabled: Unable to return object graph."));
    }
    super::graph::answer(call).await
}

/// Profiles of the components.
pub(super) fn profile(action: Action) -> Refusal {
    let what = match action {
        Action::StartProfile => "start profiler",
        Action::StopProfile => "stop profiler",
        _ => "dump profiler results",
    };
    let text = format!("Unable to {what}. \"ClusterProfiler\" feature gate must be enabled");
    Refusal::Text(StatusCode::FORBIDDEN, text)
}

fn missing(what: &str) -> Refusal {
    Refusal::bad(format!("ironclad: {what} are not offered yet"))
}
