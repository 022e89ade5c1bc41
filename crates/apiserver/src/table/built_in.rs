//! Which function computes the cells of which built-in kind.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, cluster, core, networking, node, pod, storage, workload};
use crate::registry::Resource;

/// Computes the cells of an object of a built-in kind, one a column.
pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    match (resource.group(), resource.plural()) {
        ("", "componentstatuses") => core::component_status(object),
        ("", "configmaps") => core::config_map(object, now),
        ("", "endpoints") => core::endpoints(object, now),
        ("" | "events.k8s.io", "events") => core::event(object, now),
        ("", "namespaces") => core::namespace(object, now),
        ("", "nodes") => node::cells(object, now),
        ("", "persistentvolumeclaims") => storage::claim(object, now),
        ("", "persistentvolumes") => storage::volume(object, now),
        ("", "pods") => pod::cells(object, now),
        ("", "podtemplates") => core::pod_template(object),
        ("", "replicationcontrollers") => workload::replica_set(object, now, true),
        ("", "resourcequotas") => core::resource_quota(object, now),
        ("", "secrets") => core::secret(object, now),
        ("", "services") => core::service(object, now),
        ("apiregistration.k8s.io", "apiservices") => core::api_service(object, now),
        ("apps", "controllerrevisions") => workload::controller_revision(object, now),
        ("apps", "daemonsets") => workload::daemon_set(object, now),
        ("apps", "deployments") => workload::deployment(object, now),
        ("apps", "replicasets") => workload::replica_set(object, now, false),
        ("apps", "statefulsets") => workload::stateful_set(object, now),
        ("autoscaling", _) => workload::autoscaler(object, now),
        ("batch", "cronjobs") => workload::cron_job(object, now),
        ("batch", "jobs") => workload::job(object, now),
        ("coordination.k8s.io", "leases") => core::lease(object, now),
        ("certificates.k8s.io", "certificatesigningrequests") => cluster::signing_request(object, now),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            cluster::admission_policy(object, now)
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            cluster::admission_binding(object, now)
        }
        ("admissionregistration.k8s.io", _) => cluster::webhooks(object, now),
        ("discovery.k8s.io", "endpointslices") => networking::endpoint_slice(object, now),
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => cluster::flow_schema(object, now),
        ("flowcontrol.apiserver.k8s.io", _) => cluster::priority_level(object, now),
        ("networking.k8s.io", "ingresses") => networking::ingress(object, now),
        ("networking.k8s.io", "ingressclasses") => networking::ingress_class(object, now),
        ("networking.k8s.io", "ipaddresses") => networking::ip_address(object),
        ("networking.k8s.io", "networkpolicies") => networking::network_policy(object, now),
        ("networking.k8s.io", "servicecidrs") => networking::service_cidr(object, now),
        ("node.k8s.io", "runtimeclasses") => core::runtime_class(object, now),
        ("policy", "poddisruptionbudgets") => workload::disruption_budget(object, now),
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
            cluster::binding(object, now)
        }
        ("resource.k8s.io", "resourceclaims") => cluster::resource_claim(object, now),
        ("resource.k8s.io", "resourceslices") => cluster::resource_slice(object, now),
        ("scheduling.k8s.io", "priorityclasses") => core::priority_class(object, now),
        ("storage.k8s.io", "csidrivers") => storage::csi_driver(object, now),
        ("storage.k8s.io", "csinodes") => storage::csi_node(object, now),
        ("storage.k8s.io", "storageclasses") => storage::storage_class(object, now),
        ("storage.k8s.io", "volumeattachments") => storage::attachment(object, now),
        ("storage.k8s.io", "volumeattributesclasses") => storage::attributes_class(object, now),
        _ => others(resource, object, now),
    }
}

/// Kinds without cells of their own show the name and when they were created; the columns say in which form.
fn others(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    if resource.columns.iter().any(|column| &*column.kind == "date") {
        return core::created_at(object);
    }
    let mut cells = core::name_and_age(object, now);
    // A kind that comes without its function here still gets one cell a column, its age in the right one.
    if resource.columns.len() != cells.len() {
        cells.truncate(1);
        let rest = resource.columns.iter().skip(1);
        cells.extend(rest.map(
            |column| {
                if &*column.name == "Age" { age::of(object, now) } else { Value::Null }
            },
        ));
    }
    cells
}

/// Row conditions of an object.
pub(super) fn conditions(resource: &Resource, object: &Value) -> Vec<Value> {
    match (resource.group(), resource.plural()) {
        ("", "pods") => pod::conditions(object),
        _ => Vec::new(),
    }
}
