//! Admission of CDI's kinds in an embedded installation, where no CDI does it. In a cluster they are CDI's to judge, so that no
//! webhook asks here.

use api::names::account;
use machinery::admission::{Operation, Request, Response};
use machinery::field::{FieldError, Path, Problem};
use model::fields;
use model::validation::importer::{self, Checked};
use serde_json::Value;

use crate::Admission;
use crate::answer::{bad_request, judge};

pub(crate) fn concerns(group: &str) -> bool {
    matches!(group, "cdi.kubevirt.io" | "upload.cdi.kubevirt.io" | "forklift.cdi.kubevirt.io")
}

pub(crate) async fn validate(admission: &Admission, request: &Request) -> Response {
    let (old, new) = (&request.old_object["spec"], &request.object["spec"]);
    let update = request.operation == Operation::Update;
    let deleting = request.object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    // Finalizers and the like move whatever the rules have become.
    if deleting || update && old == new {
        return Response::allow(request.uid.clone());
    }
    let checked = match request.resource.resource.as_str() {
        "objecttransfers" => match transfer(admission, request).await {
            None => Ok(()),
            Some(message) => return bad_request(request, message),
        },
        "datavolumes" if !update => match taken(admission, request).await {
            None => rules(request),
            Some(error) => Err(error),
        },
        _ => rules(request),
    };
    let mut response = match checked {
        Ok(()) => Response::allow(request.uid.clone()),
        Err(error) => judge(request, &[*error]),
    };
    if response.allowed && !account::is_own(&request.user_info.username) {
        response.warnings = fields::warnings(&request.kind.kind, &request.object);
    }
    response
}

/// The rules that an object alone is held to.
fn rules(request: &Request) -> Checked {
    let (kind, name) = (request.kind.kind.as_str(), request.name.as_str());
    let spec = &request.object["spec"];
    let is_fixed =
        matches!(kind, "DataVolume" | "DataImportCron" | "VolumeImportSource" | "VolumeUploadSource");
    if request.operation == Operation::Update && is_fixed {
        importer::unchanged(kind, &request.old_object["spec"], spec)?;
    }
    match kind {
        "DataVolume" => importer::data_volume(&Path::new("spec"), spec),
        "DataImportCron" => importer::import_cron(name, spec),
        "VolumeImportSource" => importer::volume_source(name, spec, true),
        "VolumeUploadSource" => importer::volume_source(name, spec, false),
        _ => Ok(()),
    }
}

/// Refuses a DataVolume whose claim is there and somebody else's.
async fn taken(admission: &Admission, request: &Request) -> Option<Box<FieldError>> {
    const ADOPT: &str = "cdi.kubevirt.io/allowClaimAdoption";
    let claim = admission.lookup().volume(CLAIM, &request.namespace, &request.name).await?;
    let filled = claim["annotations"]["cdi.kubevirt.io/storage.populatedFor"] == request.name;
    let adopts = request.object["metadata"]["annotations"][ADOPT] == "true";
    let owners = claim["ownerReferences"].as_array();
    let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    if filled || adopts || controller.is_some_and(|owner| owner["kind"] == "DataVolume") {
        return None;
    }
    let rule = format!(
        "a claim of that name is there already: choose another name, or let the DataVolume have it by the annotation {ADOPT}: \
         \"true\""
    );
    let at = Path::new("DataVolume.Name");
    Some(Box::new(FieldError::new(at, Problem::Duplicate, request.name.clone().into(), rule)))
}

const CLAIM: &str = "PersistentVolumeClaim";

/// Returns what is wrong with a transfer.
async fn transfer(admission: &Admission, request: &Request) -> Option<String> {
    if request.operation == Operation::Update {
        return Some("spec of an ObjectTransfer cannot be changed: delete it and make another".to_owned());
    }
    let text = |pointer: &str| request.object.pointer(pointer).and_then(Value::as_str);
    let (namespace, name) = (text("/spec/target/namespace"), text("/spec/target/name"));
    if namespace.is_none() && name.is_none() {
        return Some("give spec.target.namespace, spec.target.name, or both".to_owned());
    }
    let kind = text("/spec/source/kind").unwrap_or_default();
    if !matches!(kind, "DataVolume" | CLAIM) {
        return Some(format!("spec.source.kind is {kind:?}: write DataVolume or {CLAIM}"));
    }
    let namespace = namespace.or_else(|| text("/spec/source/namespace")).unwrap_or_default();
    let name = name.or_else(|| text("/spec/source/name")).unwrap_or_default();
    let there = admission.lookup().volume(kind, namespace, name).await?;
    drop(there);
    Some(format!("the {kind} {namespace}/{name} is there already: choose another target"))
}

/// Refuses to end an importer that shall stay while there are DataVolumes.
pub(crate) async fn validate_delete(admission: &Admission, request: &Request) -> Response {
    let importer = &request.old_object;
    let blocks = importer["spec"]["uninstallStrategy"] == "BlockUninstallIfWorkloadsExist";
    // One that does not work protects nothing.
    let works = !matches!(importer["status"]["phase"].as_str().unwrap_or_default(), "" | "Error");
    let volumes = if blocks && works { admission.lookup().data_volumes().await } else { 0 };
    if volumes == 0 {
        return Response::allow(request.uid.clone());
    }
    bad_request(
        request,
        format!(
            "rejecting the uninstall request, since there are still {volumes} DataVolumes present: delete them, or set \
             spec.uninstallStrategy to RemoveWorkloads"
        ),
    )
}
