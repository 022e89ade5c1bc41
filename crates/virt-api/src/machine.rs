//! Admission of `VirtualMachine`.

use api::kubevirt::v1::VirtualMachine;
use machinery::admission::{Operation, Request, Response};
use model::{defaults, fields, instancetype, validation};

use crate::answer::{changed, hold_to_schema, judge, read};
use crate::{Admission, named};

/// What the reference says of the older way to switch a machine on and off.
const RUNNING_IS_OLD: &str = "spec.running is deprecated, please use spec.runStrategy instead.";

pub(crate) async fn mutate(admission: &Admission, request: &Request) -> Response {
    let mut vm: VirtualMachine = match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
        Ok(vm) => vm,
        Err(response) => return *response,
    };
    if vm.metadata.deletion_timestamp.is_some() {
        return Response::allow(request.uid.clone());
    }
    let matchers = validation::vm_matchers(&vm);
    if !matchers.is_empty() {
        return judge(request, &matchers);
    }
    let lookup = &*admission.lookup;
    if let Err(error) = named::infer(lookup, &request.namespace, &mut vm).await {
        return judge(request, &[*error]);
    }
    // What cannot be read is refused when it is judged.
    let named = named::of(lookup, &request.namespace, &vm).await.unwrap_or_default();
    if let Some(preference) = &named.specs.preference {
        defaults::preferred(&mut vm, preference);
    }
    let fresh = (request.operation == Operation::Create).then(|| admission.fresh());
    defaults::vm(&mut vm, &admission.config(), fresh.as_ref());
    match serde_json::to_value(&vm) {
        Ok(mut object) => {
            // Metadata is not touched: a patch of it would only rewrite what the client sent.
            object["metadata"] = request.object["metadata"].clone();
            keep_status(request, &mut object);
            changed(request, &object)
        }
        Err(_) => Response::allow(request.uid.clone()),
    }
}

/// The status goes its own way.
fn keep_status(request: &Request, object: &mut serde_json::Value) {
    if let Some(fields) = object.as_object_mut() {
        match request.object.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
}

pub(crate) async fn validate(admission: &Admission, request: &Request) -> Response {
    let vm: VirtualMachine = match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
        Ok(vm) => vm,
        Err(response) => return *response,
    };
    if vm.metadata.deletion_timestamp.is_some() {
        return Response::allow(request.uid.clone());
    }
    let config = admission.config();
    let named = match named::of(&*admission.lookup, &request.namespace, &vm).await {
        Ok(named) => named,
        Err(error) => return judge(request, &[*error]),
    };
    // What counts is the machine with what it names.
    let (mut whole, mut shown) = (vm.clone(), request.object.clone());
    if !named.specs.is_empty() {
        let errors = instancetype::check(&vm, &named.specs, &config);
        if !errors.is_empty() {
            return judge(request, &errors);
        }
        instancetype::prepare(&mut whole, &named.specs, &config);
        shown["spec"] = serde_json::to_value(&whole.spec).unwrap_or_default();
    }
    let errors = validation::vm(&whole, &config, &request.user_info.username);
    let mut response = judge(request, &errors);
    let unchanged = request.object.get("spec") == request.old_object.get("spec");
    if response.allowed && !unchanged {
        response.warnings = fields::warnings("VirtualMachine", &shown);
        response.warnings.extend(named.missing.iter().map(named::warning));
        if vm.spec.running.is_some() {
            response.warnings.push(RUNNING_IS_OLD.to_owned());
        }
    }
    response
}

pub(crate) fn validate_status(request: &Request) -> Response {
    let vm: VirtualMachine = match read(request, &request.object) {
        Ok(vm) => vm,
        Err(response) => return *response,
    };
    judge(request, &vm.status.as_ref().map(validation::vm_status).unwrap_or_default())
}
