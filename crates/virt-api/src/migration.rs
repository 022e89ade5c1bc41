//! Admission of `VirtualMachineInstanceMigration`.

use api::kubevirt::v1::VirtualMachineInstanceMigration;
use api::names::{finalizer, label};
use machinery::admission::{Operation, Request, Response};
use machinery::field::{FieldError, Problem};
use model::{fields, validation};

use crate::Admission;
use crate::answer::{bad_request, changed, hold_to_schema, judge, read};

pub(crate) fn mutate(request: &Request) -> Response {
    if request.operation != Operation::Create {
        return Response::allow(request.uid.clone());
    }
    let mut migration: VirtualMachineInstanceMigration =
        match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
            Ok(migration) => migration,
            Err(response) => return *response,
        };
    let instance = migration.spec.vmi_name.clone().unwrap_or_default();
    migration.metadata.labels.get_or_insert_default().insert(label::MIGRATION_VMI_NAME.to_owned(), instance);
    let finalizers = migration.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|own| own == finalizer::MIGRATION) {
        finalizers.push(finalizer::MIGRATION.to_owned());
    }
    let mut object = request.object.clone();
    object["metadata"]["labels"] = serde_json::json!(migration.metadata.labels);
    object["metadata"]["finalizers"] = serde_json::json!(migration.metadata.finalizers);
    changed(request, &object)
}

pub(crate) async fn validate(admission: &Admission, request: &Request) -> Response {
    let migration: VirtualMachineInstanceMigration =
        match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
            Ok(migration) => migration,
            Err(response) => return *response,
        };
    if request.operation == Operation::Update {
        let old: VirtualMachineInstanceMigration = match read(request, &request.old_object) {
            Ok(old) => old,
            Err(response) => return *response,
        };
        return judge(request, &validation::vmim_update(&old, &migration));
    }
    let name = migration.spec.vmi_name.as_deref().unwrap_or_default();
    let instance = admission.lookup.instance(&request.namespace, name).await;
    let others = admission.lookup.is_migrating(&request.namespace, name, &request.name).await;
    let user = &request.user_info.username;
    let errors = validation::vmim(&migration, instance.as_ref(), others, &admission.config(), user);
    // What lies in the state of other objects is no fault of a field: clients know these answers by their code.
    let elsewhere = |error: &FieldError| {
        error.problem == Problem::NotFound || error.path.as_str() == "spec" || (others && errors.len() == 1)
    };
    if let Some(error) = errors.first().filter(|error| elsewhere(error)) {
        return bad_request(request, error.to_string());
    }
    let mut response = judge(request, &errors);
    if response.allowed {
        response.warnings = fields::warnings("VirtualMachineInstanceMigration", &request.object);
    }
    response
}
