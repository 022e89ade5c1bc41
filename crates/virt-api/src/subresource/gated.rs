//! Paths whose work is not offered yet: refused as the reference refuses them where it would, and otherwise by saying
//! what is missing.

use http::{Response, StatusCode};
use serde_json::Value;

use super::objects::Instance;
use super::options;
use super::refusal::Refusal;
use super::route::{Action, Scope};
use super::{Body, Call, node};

/// Gates of volumes that come and go while a machine runs.
const HOTPLUG: [&str; 2] = ["HotplugVolumes", "DeclarativeHotplugVolumes"];
const HOTPLUG_OFF: &str = "Enable DeclarativeHotplugVolumes or HotplugVolumes feature gate to use this API.";
const SEV_GATE: &str = "WorkloadEncryptionSEV";
const INSTANCE_NOT_RUNNING: &str = "VMI is not running";

/// Volumes, memory dumps.
pub(super) async fn volumes(call: &Call<'_>, action: Action, body: Body) -> Result<Response<Body>, Refusal> {
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
    let options: options::Volume = options::read(body).await?;
    if action != Action::MemoryDump
        && let Some(field) = options.lacks(action == Action::AddVolume)
    {
        return Err(Refusal::bad(format!("the request has no {field}; write which volume is meant")));
    }
    let volumes = if call.route.scope == Scope::Machine {
        let machine = call.machine().await?;
        if action == Action::MemoryDump && !call.instance().await?.is_running() {
            return Err(Refusal::conflict(Scope::Instance, call.name, INSTANCE_NOT_RUNNING));
        }
        machine.spec.template.spec.volumes
    } else {
        let instance = call.instance().await?;
        if !instance.is_running() {
            return Err(Refusal::conflict(Scope::Instance, call.name, INSTANCE_NOT_RUNNING));
        }
        instance.spec.volumes
    };
    if let Some(why) = clash(action, &options, &volumes) {
        return Err(Refusal::conflict(call.route.scope, call.name, why));
    }
    Err(missing("volumes that come and go while a machine runs"))
}

/// Says why a volume cannot be added to these, or taken from them.
fn clash(action: Action, options: &options::Volume, volumes: &[Value]) -> Option<String> {
    let name = &options.name;
    let named = volumes.iter().find(|volume| volume["name"] == **name);
    let source = |volume: &Value| {
        let claim = volume["persistentVolumeClaim"]["claimName"].as_str();
        claim.or_else(|| volume["dataVolume"]["name"].as_str()).map(str::to_owned)
    };
    let hotplugged = |volume: &Value| {
        ["persistentVolumeClaim", "dataVolume"].iter().any(|kind| volume[kind]["hotpluggable"] == true)
    };
    match action {
        Action::AddVolume if named.is_some() => {
            Some(format!("Unable to add volume [{name}] because volume with that name already exists"))
        }
        Action::AddVolume => {
            let wanted = source(options.volume_source.as_ref()?)?;
            let taken = volumes.iter().any(|volume| source(volume).as_deref() == Some(&wanted));
            taken.then(|| format!("Unable to add volume source [{wanted}] because it already exists"))
        }
        Action::RemoveVolume => match named {
            None => Some(format!("Unable to remove volume [{name}] because it does not exist")),
            Some(volume) if !hotplugged(volume) => {
                Some(format!("Unable to remove volume [{name}] because it is not hotpluggable"))
            }
            Some(_) => None,
        },
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_is_added_once_and_what_was_added_is_removed() {
        let volumes = [
            json!({"name": "root", "containerDisk": {"image": "x"}}),
            json!({"name": "data", "persistentVolumeClaim": {"claimName": "p", "hotpluggable": true}}),
        ];
        let claim = |claim: &str| json!({"persistentVolumeClaim": {"claimName": claim}});
        let cases = [
            (Action::AddVolume, "root", claim("q"), Some("already exists")),
            (Action::AddVolume, "new", claim("p"), Some("source [p]")),
            (Action::AddVolume, "new", json!({"dataVolume": {"name": "p"}}), Some("source [p]")),
            (Action::AddVolume, "new", claim("q"), None),
            (Action::RemoveVolume, "nosuch", json!(null), Some("does not exist")),
            (Action::RemoveVolume, "root", json!(null), Some("not hotpluggable")),
            (Action::RemoveVolume, "data", json!(null), None),
        ];
        for (action, name, source, expected) in cases {
            let source = Some(source).filter(|source| !source.is_null());
            let options = options::Volume { name: name.to_owned(), disk: None, volume_source: source };
            let why = clash(action, &options, &volumes);
            assert_eq!(why.is_some(), expected.is_some(), "{action:?} {name}: {why:?}");
            assert!(why.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }
}
