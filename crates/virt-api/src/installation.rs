//! Admission of `KubeVirt`.

use api::kubevirt::v1::KubeVirt;
use machinery::admission::{Operation, Request, Response};
use model::{fields, validation};

use crate::Admission;
use crate::answer::{hold_to_schema, judge, read};

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
