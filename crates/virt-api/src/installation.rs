//! Admission of `KubeVirt`: there is one, and it stays while there are machines that live by it.

use api::kubevirt::v1::KubeVirt;
use machinery::admission::{Operation, Request, Response};
use model::{fields, validation};

use crate::Admission;
use crate::answer::{bad_request, hold_to_schema, judge, read};

pub(crate) async fn validate(admission: &Admission, request: &Request) -> Response {
    let kubevirt: KubeVirt = match hold_to_schema(request).and_then(|()| read(request, &request.object)) {
        Ok(kubevirt) => kubevirt,
        Err(response) => return *response,
    };
    let others = request.operation == Operation::Create
        && admission.lookup.has_other_installation(&request.namespace, &request.name).await;
    let mut response = judge(request, &validation::kubevirt(&kubevirt, others));
    let unchanged = request.object.get("spec") == request.old_object.get("spec");
    if response.allowed && !unchanged {
        response.warnings = fields::warnings("KubeVirt", &request.object);
    }
    response
}

/// Refuses to delete the object, whatever its `uninstallStrategy`: nothing here removes machines with it.
pub(crate) async fn validate_delete(admission: &Admission, request: &Request) -> Response {
    let Some(kind) = admission.lookup.workload().await else {
        return Response::allow(request.uid.clone());
    };
    bad_request(
        request,
        format!(
            "Rejecting the uninstall request, since there are still {kind} present: they live by the KubeVirt object and \
             its settings. Delete all machines first"
        ),
    )
}

/// Refuses to delete the namespace of an installation that may not go; others are not asked about.
pub(crate) async fn validate_delete_namespace(admission: &Admission, request: &Request) -> Response {
    if admission.lookup.has_installation(&request.name).await {
        validate_delete(admission, request).await
    } else {
        Response::allow(request.uid.clone())
    }
}
