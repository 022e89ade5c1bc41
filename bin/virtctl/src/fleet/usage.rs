//! What machines use: processors and memory of their launcher Pods by the metrics API, disks by their guest agents.

use futures::StreamExt as _;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use super::row::bytes;
use super::{Choice, Fleet, Row};
use crate::api::{Api, CallError};
use crate::request::{Kind, Request, Verb};

/// How many agents are asked at once.
const AT_ONCE: usize = 8;

/// What one machine uses, as far as somebody knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processors, in thousandths.
    pub(crate) cpu_milli: Option<f64>,
    /// Memory of the launcher Pod: the guest's, and what the hypervisor needs itself.
    pub(crate) memory: Option<u64>,
    /// Bytes used and bytes there are in the guest's filesystems.
    pub(crate) disk: Option<(u64, u64)>,
}

/// The metrics of Pods, or why there are none.
#[derive(Clone, Debug)]
pub(crate) enum Metrics {
    Pods(Vec<Value>),
    Unknown(String),
}

impl Metrics {
    /// Asks the metrics API.
    pub(crate) async fn read(api: &Api, choice: &Choice) -> Self {
        let place = choice.namespace.as_ref().map(|name| format!("namespaces/{name}/")).unwrap_or_default();
        let path = format!("/apis/metrics.k8s.io/v1beta1/{place}pods");
        let request = Request::read(path).with_parameter("labelSelector", "kubevirt.io=virt-launcher");
        match api.read(&request).await {
            Ok(mut list) => Self::Pods(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()),
            Err(error) => Self::Unknown(unknown(&error)),
        }
    }

    /// Returns the processors and the memory that an instance's Pod uses.
    pub(crate) fn of(&self, row: &Row, instance: Option<&Value>) -> Usage {
        let (Self::Pods(pods), Some(instance)) = (self, instance) else { return Usage::default() };
        let uid = instance["metadata"]["uid"].as_str().unwrap_or_default();
        let mut all = pods.iter().filter(|pod| is_of(pod, row, uid));
        let Some(pod) = all.next() else { return Usage::default() };
        let amount = |name: &str| {
            let containers = pod["containers"].as_array().into_iter().flatten();
            let amounts = containers.filter_map(|container| container["usage"][name].as_str());
            amounts
                .filter_map(|amount| Quantity::parse(amount).ok())
                .map(|amount| amount.as_f64())
                .sum::<f64>()
        };
        Usage { cpu_milli: Some(amount("cpu") * 1000.0), memory: Some(amount("memory") as u64), disk: None }
    }

    /// Why nothing is known.
    pub(crate) fn missing(&self) -> Option<&str> {
        if let Self::Unknown(why) = self { Some(why) } else { None }
    }
}

fn unknown(error: &CallError) -> String {
    let why = match error.code() {
        Some(404) => "the server has no metrics API (metrics.k8s.io): install metrics-server".to_owned(),
        Some(403) => "you may not list pods of metrics.k8s.io".to_owned(),
        _ => error.to_string(),
    };
    format!("processors and memory in use are not known: {why}")
}

/// Whether metrics are those of an instance's Pod. Older servers leave the labels out; then the Pod's name has to do.
fn is_of(pod: &Value, row: &Row, uid: &str) -> bool {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    if text("/metadata/namespace") != Some(row.namespace.as_str()) {
        return false;
    }
    if let Some(owner) = text("/metadata/labels/kubevirt.io~1created-by") {
        return owner == uid;
    }
    let prefix = format!("virt-launcher-{}-", row.name);
    let rest = text("/metadata/name").and_then(|name| name.strip_prefix(&prefix));
    rest.is_some_and(|rest| !rest.contains('-'))
}

/// Asks the agents of running guests how full their disks are.
pub(crate) async fn disks(api: &Api, fleet: &Fleet, rows: &[Row]) -> Vec<Option<(u64, u64)>> {
    let asked = rows.iter().map(async |row| {
        let instance = fleet.instance(row)?;
        if row.instance != "Running" || !super::row::holds(instance, "AgentConnected") {
            return None;
        }
        let request =
            Request::subresource(Verb::Get, &row.namespace, Kind::Instance, &row.name, "filesystemlist");
        filled(&api.read(&request.ok()?).await.ok()?)
    });
    futures::stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// Adds up filesystems. One that is mounted in several places counts once.
fn filled(list: &Value) -> Option<(u64, u64)> {
    let mut disks: Vec<(&str, u64, u64)> = Vec::new();
    for filesystem in list["items"].as_array()? {
        let number = |field: &str| filesystem[field].as_u64().unwrap_or(0);
        let name = filesystem["diskName"].as_str().unwrap_or_default();
        let found = (name, number("usedBytes"), number("totalBytes"));
        if found.2 > 0 && !disks.iter().any(|(known, _, total)| (*known, *total) == (found.0, found.2)) {
            disks.push(found);
        }
    }
    let sum = disks.iter().fold((0, 0), |sum, disk| (sum.0 + disk.1, sum.1 + disk.2));
    (sum.1 > 0).then_some(sum)
}

/// Columns of usage.
pub(crate) const COLUMNS: [&str; 5] = ["CPU", "%CPU", "MEMORY", "%MEM", "DISKS"];

impl Usage {
    /// Writes the cells, beside what the machine has.
    pub(crate) fn cells(&self, row: &Row) -> [String; 5] {
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let share = |part: Option<f64>, whole: Option<f64>| {
            let whole = whole.filter(|whole| *whole > 0.0)?;
            Some(format!("{:.0}%", part? / whole * 100.0))
        };
        let cpu = self.cpu_milli.map(|milli| format!("{milli:.0}m"));
        let cpus = row.cpus.map(|cpus| cpus as f64 * 1000.0);
        let memory = self.memory.map(|memory| memory as f64);
        let disk = self.disk.map(|(used, total)| format!("{} of {}", bytes(used), bytes(total)));
        [
            dash(cpu),
            dash(share(self.cpu_milli, cpus)),
            dash(self.memory.map(bytes)),
            dash(share(memory, row.memory.map(|memory| memory as f64))),
            dash(disk),
        ]
    }

    /// Writes it for programs.
    pub(crate) fn document(&self) -> Value {
        json!({
            "cpuMilli": self.cpu_milli.map(|milli| (milli * 10.0).round() / 10.0),
            "memoryBytes": self.memory,
            "diskUsedBytes": self.disk.map(|(used, _)| used),
            "diskTotalBytes": self.disk.map(|(_, total)| total),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> (Row, Value) {
        let instance = json!({
            "metadata": {"namespace": "a", "name": "m", "uid": "u1"},
            "spec": {"domain": {"cpu": {"cores": 2}, "memory": {"guest": "1Gi"}}},
            "status": {"phase": "Running"},
        });
        (Row::of(None, Some(&instance)), instance)
    }

    fn metrics(pods: Value) -> Metrics {
        Metrics::Pods(serde_json::from_value(pods).unwrap())
    }

    #[test]
    fn what_a_pod_uses_is_its_instances() {
        let usage = json!([{"name": "compute", "usage": {"cpu": "499999999n", "memory": "524288Ki"}},
                           {"name": "log", "usage": {"cpu": "1m", "memory": "0"}}]);
        let pod = |labels: Value, name: &str| json!({"metadata": {"namespace": "a", "name": name, "labels": labels}, "containers": usage});
        let (row, instance) = row();
        let own = pod(json!({"kubevirt.io/created-by": "u1"}), "virt-launcher-m-x");
        let found = metrics(json!([own])).of(&row, Some(&instance));
        assert_eq!(found.cells(&row), ["501m", "25%", "512Mi", "50%", "-"]);
        assert_eq!(found.document()["cpuMilli"], 501.0);
        let older = metrics(json!([pod(Value::Null, "virt-launcher-m-x2zq5")]));
        assert!(older.of(&row, Some(&instance)).cpu_milli.is_some());
        for other in [
            pod(json!({"kubevirt.io/created-by": "u2"}), "virt-launcher-m-x"),
            pod(Value::Null, "virt-launcher-m-b-x"),
        ] {
            assert_eq!(metrics(json!([other])).of(&row, Some(&instance)), Usage::default());
        }
    }

    #[test]
    fn what_nobody_knows_is_a_dash_with_a_reason() {
        let (row, instance) = row();
        let refused = CallError::Refused { code: 404, message: "no".to_owned() };
        let none = Metrics::Unknown(unknown(&refused));
        assert_eq!(none.of(&row, Some(&instance)).cells(&row), ["-"; 5]);
        assert!(none.missing().is_some_and(|why| why.contains("metrics-server")));
    }

    #[test]
    fn filesystems_count_once() {
        let list = json!({"items": [
            {"diskName": "vda1", "mountPoint": "/", "usedBytes": 1 << 30, "totalBytes": 4_u64 << 30},
            {"diskName": "vda1", "mountPoint": "/var", "usedBytes": 1 << 30, "totalBytes": 4_u64 << 30},
            {"diskName": "vdb", "mountPoint": "/data", "usedBytes": 0, "totalBytes": 1 << 30},
            {"diskName": "sr0", "mountPoint": "/mnt"},
        ]});
        let usage = Usage { disk: filled(&list), ..Usage::default() };
        assert_eq!(usage.disk, Some((1 << 30, 5 << 30)));
        assert_eq!(usage.cells(&row().0)[4], "1Gi of 5Gi");
        assert_eq!(filled(&json!({"items": []})), None);
    }
}
