//! Admission of `VirtualMachineInstance`.

use api::kubevirt::v1::VirtualMachineInstance;
use api::names::account;
use machinery::admission::{Operation, Request, Response};
use machinery::status::Status;
use model::{defaults, fields, presets, validation};
use serde_json::Value;

use crate::Admission;
use crate::answer::{bad_request, changed, hold_to_schema, judge, read};

/// The extra of a service account's user that says on which node it acts.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

pub(crate) async fn mutate(admission: &Admission, request: &Request) -> Response {
    if request.operation == Operation::Update {
        return keep_status(request);
    }
    let mut vmi: VirtualMachineInstance =
        match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
            Ok(vmi) => vmi,
            Err(response) => return *response,
        };
    let warnings = match preset(admission, request, &mut vmi).await {
        Ok(warnings) => warnings,
        Err(response) => return *response,
    };
    let config = admission.config();
    let without = vmi.spec.domain.devices.interfaces.is_empty();
    defaults::vmi(&mut vmi, &config, &admission.fresh());
    let bridged = vmi.spec.domain.devices.interfaces.iter().any(|interface| interface.bridge.is_some());
    if without && bridged && !config.permit_bridge_on_pod_network {
        return bad_request(
            request,
            "the instance names no interface, and the installation's default, bridge, is switched off on the Pod's \
             network: name an interface with masquerade, or set autoattachPodInterface: false",
        );
    }
    match serde_json::to_value(&vmi) {
        Ok(mut object) => {
            object["metadata"] = merged(&request.object["metadata"], &object["metadata"]);
            Response { warnings, ..changed(request, &object) }
        }
        Err(_) => Response::allow(request.uid.clone()),
    }
}

/// Applies the presets of the namespace. Returns what to warn of.
async fn preset(
    admission: &Admission,
    request: &Request,
    vmi: &mut VirtualMachineInstance,
) -> Result<Vec<String>, Box<Response>> {
    if !presets::wanted(vmi) {
        return Ok(Vec::new());
    }
    let refused = |code, message: String| {
        Box::new(Response::deny(request.uid.clone(), Status::unexplained(code, message)))
    };
    let all = admission.lookup().presets(&request.namespace).await.map_err(|error| {
        refused(500, format!("the presets of the namespace {} cannot be read: {error}", request.namespace))
    })?;
    let kept = presets::apply(vmi, &all).map_err(|error| refused(422, error.to_string()))?;
    let mut warnings: Vec<String> = kept.into_iter().map(|kept| format!("ironclad: {kept}")).collect();
    if presets::marked(vmi) {
        warnings.insert(0, presets::DEPRECATED.to_owned());
    }
    Ok(warnings)
}

/// The kind has no status path of its own: what others than our components write there is taken back.
fn keep_status(request: &Request) -> Response {
    if account::is_own(&request.user_info.username) {
        return Response::allow(request.uid.clone());
    }
    let mut object = request.object.clone();
    if let Some(fields) = object.as_object_mut() {
        match request.old_object.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    changed(request, &object)
}

/// Returns what the client sent with what was added: fields that the types do not know stay.
fn merged(sent: &Value, made: &Value) -> Value {
    let mut out = sent.clone();
    if !out.is_object() {
        return made.clone();
    }
    for part in ["annotations", "finalizers"] {
        if let Some(value) = made.get(part) {
            out[part] = value.clone();
        }
    }
    out
}

pub(crate) fn validate(admission: &Admission, request: &Request) -> Response {
    let vmi: VirtualMachineInstance =
        match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
            Ok(vmi) => vmi,
            Err(response) => return *response,
        };
    let user = &request.user_info.username;
    if request.operation == Operation::Update {
        let old: VirtualMachineInstance = match read(request, &request.old_object) {
            Ok(old) => old,
            Err(response) => return *response,
        };
        let mut errors = Vec::new();
        if user == account::HANDLER && admission.config().gate("NodeRestriction") {
            let node = request.user_info.extra.get(NODE_NAME).and_then(|names| names.first());
            errors = validation::vmi_node(&old, &vmi, node.map(String::as_str));
        }
        errors.extend(validation::vmi_update(&old, &vmi, user));
        return judge(request, &errors);
    }
    let mut response = judge(request, &validation::vmi_create(&vmi, &admission.config(), user));
    if response.allowed && !account::is_own(user) {
        response.warnings = fields::warnings("VirtualMachineInstance", &request.object);
    }
    response
}
