//! Kinds that the API server keeps and that nothing in an embedded installation carries out. Who creates one is told,
//! instead of waiting for what will not come.

use apiserver::admission::AdmissionPlugin;
use machinery::admission::{Operation, Request, Response};

/// Groups and resources whose controllers a cluster has and an embedded installation has not.
const UNATTENDED: &[(&str, &str)] = &[
    ("", "replicationcontrollers"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("certificates.k8s.io", "certificatesigningrequests"),
    ("networking.k8s.io", "ingresses"),
];

/// The plug-in that warns.
#[derive(Debug)]
pub(super) struct Unattended;

#[async_trait::async_trait]
impl AdmissionPlugin for Unattended {
    fn name(&self) -> &'static str {
        "unattended"
    }

    fn concerns(&self, group: &str, resource: &str, subresource: &str) -> bool {
        subresource.is_empty() && UNATTENDED.contains(&(group, resource))
    }

    async fn validate(&self, request: &Request) -> Response {
        let mut response = Response::allow(request.uid.clone());
        if request.operation == Operation::Create {
            response.warnings.push(format!(
                "ironclad: this {} is stored, and nothing here carries it out: an embedded installation runs virtual \
                 machines, and Pods that somebody creates",
                request.kind.kind
            ));
        }
        response
    }
}
