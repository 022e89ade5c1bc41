//! Paths and documents of the metrics API.

use std::collections::BTreeMap;
use std::time::Duration;

use apiserver::request::query::Query;
use http::Uri;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_ext::Select;
use machinery::gvk::Gvr;
use machinery::status::Status;
use serde_json::{Value, json};

use super::{GROUP, VERSION};

/// What a Pod uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    pub(super) processors: f64,
    /// Bytes.
    pub(super) memory: u64,
    /// Over which time the processors were measured.
    pub(super) window: Duration,
}

/// The entries of discovery.
pub(super) fn resources() -> Vec<Value> {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    vec![resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)]
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    nodes: bool,
    /// Empty means all.
    namespace: String,
    /// One object; a list when empty.
    name: String,
    /// Label selector.
    labels: String,
}

impl Target {
    /// Reads a path and its query.
    pub(super) fn parse(uri: &Uri) -> Option<Self> {
        let path = uri.path().strip_prefix(&format!("/apis/{GROUP}/{VERSION}/"))?;
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let (nodes, namespace, name) = match segments[..] {
            ["nodes"] => (true, "", ""),
            ["nodes", name] => (true, "", name),
            ["pods"] => (false, "", ""),
            ["namespaces", namespace, "pods"] => (false, namespace, ""),
            ["namespaces", namespace, "pods", name] => (false, namespace, name),
            _ => return None,
        };
        // They become parts of other requests.
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let labels = Query::parse(uri.query().unwrap_or_default()).get("labelSelector").to_owned();
        (namespace.bytes().all(plain) && name.bytes().all(plain)).then(|| Self {
            nodes,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels,
        })
    }

    pub(super) fn is_of_nodes(&self) -> bool {
        self.nodes
    }

    pub(super) fn labels(&self) -> &str {
        &self.labels
    }

    /// Which Pods have to be measured.
    pub(super) fn pods(&self) -> Select {
        let labels = if self.nodes { String::new() } else { self.labels.clone() };
        let fields = match (self.nodes, self.name.as_str()) {
            (_, "") => String::new(),
            (true, node) => format!("spec.nodeName={node}"),
            (false, name) => format!("metadata.name={name}"),
        };
        Select { namespace: self.namespace.clone(), labels, fields }
    }

    fn missing(&self) -> Status {
        let resource = if self.nodes { "nodes" } else { "pods" };
        Status::not_found(&Gvr::new(GROUP, VERSION, resource), &self.name)
    }

    /// Puts documents into the list, or the one that is asked for alone.
    fn shown(&self, kind: &str, mut items: Vec<Value>) -> apiserver::Result<Value> {
        let api_version = format!("{GROUP}/{VERSION}");
        if self.name.is_empty() {
            return Ok(
                json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": {}, "items": items}),
            );
        }
        let mut only = items.pop().ok_or_else(|| Box::new(self.missing()))?;
        only["kind"] = kind.into();
        only["apiVersion"] = api_version.into();
        Ok(only)
    }
}

/// Shows what Pods use.
pub(super) fn pods(
    target: &Target,
    pods: &[Pod],
    used: &BTreeMap<String, Used>,
    now: Timestamp,
) -> apiserver::Result<Value> {
    let items = pods.iter().filter_map(|pod| {
        let used = used.get(pod.metadata.uid.as_deref()?)?;
        // The processes are those of the Pod as a whole; the first container is the launcher.
        let container = pod.spec.as_ref()?.containers.first()?;
        let mut document = document(&pod.metadata, *used, now);
        let usage = document["usage"].take();
        document.as_object_mut()?.remove("usage");
        document["containers"] = json!([{"name": container.name, "usage": usage}]);
        Some(document)
    });
    target.shown("PodMetrics", items.collect())
}

/// Shows what nodes use: the sum of their Pods.
pub(super) fn nodes(
    target: &Target,
    nodes: &[Node],
    pods: &[Pod],
    used: &BTreeMap<String, Used>,
    now: Timestamp,
) -> apiserver::Result<Value> {
    let wanted =
        |node: &&Node| target.name.is_empty() || node.metadata.name.as_deref() == Some(&*target.name);
    let items = nodes.iter().filter(wanted).map(|node| {
        let own = pods.iter().filter(|pod| {
            let place = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            place.is_some() && place == node.metadata.name.as_ref()
        });
        let own = own.filter_map(|pod| used.get(pod.metadata.uid.as_deref()?));
        let nothing = Used { processors: 0.0, memory: 0, window: Duration::ZERO };
        let sum = own.fold(nothing, |sum, used| Used {
            processors: sum.processors + used.processors,
            memory: sum.memory.saturating_add(used.memory),
            window: sum.window.max(used.window),
        });
        document(&node.metadata, sum, now)
    });
    target.shown("NodeMetrics", items.collect())
}

fn document(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    used: Used,
    now: Timestamp,
) -> Value {
    let mut shown = json!({"name": metadata.name, "creationTimestamp": second(now)});
    if let Some(namespace) = &metadata.namespace {
        shown["namespace"] = namespace.as_str().into();
    }
    if let Some(labels) = metadata.labels.as_ref().filter(|labels| !labels.is_empty()) {
        shown["labels"] = json!(labels);
    }
    json!({
        "metadata": shown,
        "timestamp": second(now),
        "window": format!("{:.3}s", used.window.as_secs_f64()),
        "usage": {
            "cpu": format!("{}n", (used.processors * 1e9) as u64),
            "memory": format!("{}Ki", used.memory / 1024),
        },
    })
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<Target> {
        Target::parse(&format!("/apis/metrics.k8s.io/v1beta1/{path}").parse().unwrap())
    }

    fn pod(name: &str, node: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "a", "name": name, "uid": name, "labels": {"kubevirt.io/created-by": "u"}},
            "spec": {"nodeName": node, "containers": [{"name": "compute"}, {"name": "guest-console-log"}]},
        }))
        .unwrap()
    }

    fn used() -> BTreeMap<String, Used> {
        let used = Used { processors: 0.25, memory: 3 << 20, window: Duration::from_millis(1500) };
        ["p", "q"].map(|uid| (uid.to_owned(), used)).into()
    }

    #[test]
    fn paths_say_what_is_measured() {
        let list = target("pods?labelSelector=kubevirt.io%3Dvirt-launcher&limit=500").unwrap();
        assert_eq!(list.pods().labels, "kubevirt.io=virt-launcher");
        assert_eq!(target("namespaces/a/pods/p").unwrap().pods().fields, "metadata.name=p");
        assert_eq!(target("namespaces/a/pods").unwrap().pods().namespace, "a");
        let node = target("nodes/n?labelSelector=x%3Dy").unwrap();
        assert!(node.is_of_nodes() && node.pods().labels.is_empty() && node.labels() == "x=y");
        assert_eq!(node.pods().fields, "spec.nodeName=n");
        for other in
            ["", "namespaces/a", "namespaces/a/pods/p,x", "pods/p", "namespaces/a/pods/p/log", "secrets"]
        {
            assert_eq!(target(other), None, "{other}");
        }
    }

    #[test]
    fn pods_are_shown_with_what_they_use() {
        let now = "2026-11-23T12:00:00.5Z".parse().unwrap();
        let known = [pod("p", "n"), pod("elsewhere", "m")];
        let shown = pods(&target("pods").unwrap(), &known, &used(), now).unwrap();
        assert_eq!(shown["kind"], "PodMetricsList");
        let items = shown["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "what is not measured is left out");
        assert_eq!(
            items[0],
            json!({
                "metadata": {"name": "p", "creationTimestamp": "2026-11-23T12:00:00Z", "namespace": "a",
                             "labels": {"kubevirt.io/created-by": "u"}},
                "timestamp": "2026-11-23T12:00:00Z", "window": "1.500s",
                "containers": [{"name": "compute", "usage": {"cpu": "250000000n", "memory": "3072Ki"}}],
            })
        );
        let one = pods(&target("namespaces/a/pods/p").unwrap(), &known[..1], &used(), now).unwrap();
        assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("PodMetrics"), &json!("p")));
        let gone = pods(&target("namespaces/a/pods/r").unwrap(), &[], &used(), now).unwrap_err();
        assert_eq!(gone.code, 404);
    }

    #[test]
    fn a_node_uses_what_its_pods_use() {
        let node = |name: &str| serde_json::from_value::<Node>(json!({"metadata": {"name": name}})).unwrap();
        let (known, now) = ([node("n"), node("m")], Timestamp::UNIX_EPOCH);
        let all = [pod("p", "n"), pod("q", "n"), pod("r", "m")];
        let shown = nodes(&target("nodes").unwrap(), &known, &all, &used(), now).unwrap();
        let usage = |index: usize| shown["items"][index]["usage"].clone();
        assert_eq!(usage(0), json!({"cpu": "500000000n", "memory": "6144Ki"}));
        assert_eq!(usage(1), json!({"cpu": "0n", "memory": "0Ki"}));
        let one = nodes(&target("nodes/m").unwrap(), &known, &all, &used(), now).unwrap();
        assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("NodeMetrics"), &json!("m")));
    }
}
