//! Admission of the kinds beside machines and instances: sets of them, what they name, and what is made of their disks.

use api::instancetype::v1beta1::{VirtualMachineInstancetype, VirtualMachinePreference};
use api::names::account;
use machinery::admission::{Operation, Request, Response};
use machinery::field::FieldError;
use model::{fields, instancetype, validation};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Admission;
use crate::answer::{bad_request, changed, hold_to_schema, judge, read};

/// Resources that are judged beside machines, instances, migrations and the installation, by group.
pub const KINDS: &[(&str, &[&str])] = &[
    ("kubevirt.io", &["virtualmachineinstancereplicasets", "virtualmachineinstancepresets"]),
    (
        "instancetype.kubevirt.io",
        &[
            "virtualmachineinstancetypes",
            "virtualmachineclusterinstancetypes",
            "virtualmachinepreferences",
            "virtualmachineclusterpreferences",
        ],
    ),
    ("pool.kubevirt.io", &["virtualmachinepools"]),
    ("migrations.kubevirt.io", &["migrationpolicies"]),
    (
        "snapshot.kubevirt.io",
        &["virtualmachinesnapshots", "virtualmachinesnapshotcontents", "virtualmachinerestores"],
    ),
    ("export.kubevirt.io", &["virtualmachineexports"]),
    ("clone.kubevirt.io", &["virtualmachineclones"]),
    ("backup.kubevirt.io", &["virtualmachinebackups", "virtualmachinebackuptrackers"]),
];

/// Gates that creating needs, by resource, with what is said while they are off.
const GATES: &[(&str, &str)] = &[
    ("virtualmachinesnapshots", "Snapshot"),
    ("virtualmachinerestores", "Snapshot"),
    ("virtualmachineclones", "Snapshot"),
    ("virtualmachineexports", "VMExport"),
    ("virtualmachinebackups", "IncrementalBackup"),
    ("virtualmachinebackuptrackers", "IncrementalBackup"),
];

pub(crate) fn concerns(group: &str, resource: &str) -> bool {
    KINDS.iter().any(|(known, resources)| *known == group && resources.contains(&resource))
}

/// Says which machine a clone becomes, where its author does not.
pub(crate) fn mutate_clone(request: &Request) -> Response {
    if request.operation != Operation::Create {
        return Response::allow(request.uid.clone());
    }
    let mut object = request.object.clone();
    let spec = &mut object["spec"];
    let named = spec.pointer("/target/name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if spec.get("source").is_none() || named {
        return Response::allow(request.uid.clone());
    }
    let source = spec.pointer("/source/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if spec.get("target").is_none_or(Value::is_null) {
        spec["target"] = json!({"apiGroup": "kubevirt.io", "kind": "VirtualMachine"});
    }
    // The request's own identity makes the name a new one.
    let unique = request.uid.split('-').next().unwrap_or_default();
    spec["target"]["name"] = json!(format!("clone-{source}-{unique}"));
    if spec.get("template").is_none_or(Value::is_null) {
        spec["template"] = json!({});
    }
    changed(request, &object)
}

pub(crate) fn validate(admission: &Admission, request: &Request) -> Response {
    if !concerns(&request.resource.group, &request.resource.resource) {
        return Response::allow(request.uid.clone());
    }
    let deleting = request.object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    let user = &request.user_info.username;
    let unchanged = request.object.get("spec") == request.old_object.get("spec");
    // Finalizers and the like move whatever the rules have become.
    if deleting || request.operation == Operation::Update && unchanged {
        return Response::allow(request.uid.clone());
    }
    let mut response = match errors(admission, request) {
        Ok(errors) => judge(request, &errors),
        Err(response) => return *response,
    };
    if response.allowed && !account::is_own(user) {
        response.warnings = fields::warnings(&request.kind.kind, &request.object);
        response.warnings.extend(older_words(request));
    }
    response
}

/// Tells of words that a later release of the reference no longer reads.
fn older_words(request: &Request) -> Option<String> {
    let word = request.object.pointer("/spec/cpu/preferredCPUTopology")?.as_str()?;
    let newer = word.strip_prefix("prefer")?.to_lowercase();
    Some(format!("spec.cpu.preferredCPUTopology: {word} is an older word; write {newer}"))
}

fn errors(admission: &Admission, request: &Request) -> Result<Vec<FieldError>, Box<Response>> {
    let config = admission.config();
    let user = &request.user_info.username;
    let resource = request.resource.resource.as_str();
    let gate = GATES.iter().find(|(known, _)| *known == resource).map(|(_, gate)| *gate);
    if let Some(gate) = gate.filter(|gate| !config.gate(gate)) {
        return Err(Box::new(bad_request(
            request,
            format!(
                "the feature gate {gate} is off; an administrator can add it to \
                 spec.configuration.developerConfiguration.featureGates of the KubeVirt object"
            ),
        )));
    }
    hold_to_schema(request)?;
    let update = request.operation == Operation::Update;
    Ok(match resource {
        "virtualmachineinstancetypes" | "virtualmachineclusterinstancetypes" => {
            instancetype::check_instancetype(&object::<VirtualMachineInstancetype>(request)?.spec)
        }
        "virtualmachinepreferences" | "virtualmachineclusterpreferences" => {
            instancetype::check_preference(&object::<VirtualMachinePreference>(request)?.spec)
        }
        "virtualmachineinstancereplicasets" => validation::replica_set(&object(request)?, &config, user),
        "virtualmachineinstancepresets" => validation::preset(&object(request)?),
        "virtualmachinepools" => {
            duration(request, "autohealing.minFailingToStartDuration")?;
            let old = if update { Some(read(request, &request.old_object)?) } else { None };
            validation::pool(&object(request)?, old.as_ref(), &config, user)
        }
        "migrationpolicies" => validation::policy(&object(request)?),
        // What happens once is described once.
        _ if update && gate.is_some() => validation::unchanged(false),
        "virtualmachinesnapshots" => {
            duration(request, "failureDeadline")?;
            validation::snapshot(&object(request)?)
        }
        "virtualmachinerestores" => validation::restore(&object(request)?),
        "virtualmachineclones" => validation::clone(&object(request)?),
        "virtualmachineexports" => {
            duration(request, "ttlDuration")?;
            validation::export(&object(request)?)
        }
        _ => Vec::new(),
    })
}

fn object<T: DeserializeOwned>(request: &Request) -> Result<T, Box<Response>> {
    read(request, &request.object)
}

/// Refuses what is no duration as Go writes it.
fn duration(request: &Request, field: &str) -> Result<(), Box<Response>> {
    let text = request.object.pointer(&format!("/spec/{}", field.replace('.', "/"))).and_then(Value::as_str);
    match text.filter(|text| crate::subresource::duration(text).is_none()) {
        None => Ok(()),
        Some(text) => Err(Box::new(bad_request(
            request,
            format!("spec.{field} is {text:?}: write a duration such as 5m0s"),
        ))),
    }
}
