//! One machine in a list.

use jiff::Timestamp;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use crate::age;

/// What a list shows of a machine, or of an instance without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The one word for people.
    pub(crate) status: String,
    /// Phase of the instance; empty when there is none.
    pub(crate) instance: String,
    ready: bool,
    pub(crate) addresses: Vec<String>,
    pub(crate) node: String,
    created: Option<Timestamp>,
    /// Since when the instance is in its phase.
    pub(crate) since: Option<Timestamp>,
    run_strategy: String,
    /// Processors that the guest sees.
    pub(crate) cpus: Option<u64>,
    /// Bytes of memory that the guest has.
    pub(crate) memory: Option<u64>,
    instance_type: String,
    /// What the guest agent says of its system.
    system: String,
}

/// Columns that every list has.
const COLUMNS: [&str; 6] = ["NAME", "STATUS", "INSTANCE", "ADDRESS", "NODE", "AGE"];
/// Columns of a wide list.
const WIDE: [&str; 6] = ["READY", "RUN STRATEGY", "CPUS", "MEMORY", "INSTANCE TYPE", "SYSTEM"];

/// How a list is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Width {
    /// With the namespace of each machine.
    pub(crate) namespaces: bool,
    pub(crate) wide: bool,
}

impl Width {
    /// The header.
    pub(crate) fn header(self) -> Vec<String> {
        let namespace = self.namespaces.then_some("NAMESPACE");
        let wide = WIDE.iter().filter(|_| self.wide).copied();
        namespace.into_iter().chain(COLUMNS).chain(wide).map(str::to_owned).collect()
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Row {
    /// Makes the row of a machine, an instance, or both.
    pub(super) fn of(machine: Option<&Value>, instance: Option<&Value>) -> Self {
        let nothing = Value::Null;
        let (machine, instance) = (machine.unwrap_or(&nothing), instance.unwrap_or(&nothing));
        let own = if machine.is_object() { machine } else { instance };
        let template = &machine["spec"]["template"]["spec"];
        let definition = if instance.is_object() { &instance["spec"] } else { template };
        let phase = text(instance, "/status/phase");
        let word = text(machine, "/status/printableStatus");
        let strategy = match (text(machine, "/spec/runStrategy"), machine["spec"]["running"].as_bool()) {
            (strategy, None) => strategy,
            (_, Some(true)) => "Always".to_owned(),
            (_, Some(false)) => "Halted".to_owned(),
        };
        let system =
            [text(instance, "/status/guestOSInfo/prettyName"), text(instance, "/status/guestOSInfo/name")];
        Self {
            namespace: text(own, "/metadata/namespace"),
            name: text(own, "/metadata/name"),
            status: if word.is_empty() { phase.clone() } else { word },
            ready: holds(instance, "Ready"),
            addresses: addresses(instance),
            node: text(instance, "/status/nodeName"),
            created: text(own, "/metadata/creationTimestamp").parse().ok(),
            since: since(instance, &phase),
            run_strategy: strategy,
            cpus: cpus(instance, definition),
            memory: memory(instance, definition),
            instance_type: text(machine, "/spec/instancetype/name"),
            system: system.into_iter().find(|system| !system.is_empty()).unwrap_or_default(),
            instance: phase,
        }
    }

    /// Makes it the row of a machine that is gone. To a watch by labels, a machine that loses them looks like one that
    /// is deleted: only where `all` are watched is it said.
    pub(crate) fn gone(&mut self, all: bool) {
        let (namespace, name) = (std::mem::take(&mut self.namespace), std::mem::take(&mut self.name));
        let status = if all { "Deleted" } else { "Gone" }.to_owned();
        *self = Self { namespace, name, status, created: self.created, ..Self::default() };
    }

    /// Writes the row's cells.
    pub(crate) fn cells(&self, width: Width, now: Timestamp) -> Vec<String> {
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let age = self.created.map(|created| age::since(created, now)).unwrap_or_default();
        let mut cells: Vec<String> = width.namespaces.then(|| self.namespace.clone()).into_iter().collect();
        let addresses = self.addresses.join(",");
        cells.extend(
            [&self.name, &self.status, &self.instance, &addresses, &self.node, &age].map(|cell| dash(cell)),
        );
        if width.wide {
            let ready = if self.ready { "True" } else { "False" };
            let cpus = self.cpus.map(|cpus| cpus.to_string()).unwrap_or_default();
            let memory = self.memory.map(bytes).unwrap_or_default();
            let (strategy, kind, system) = (&self.run_strategy, &self.instance_type, &self.system);
            cells.extend([ready, strategy, &cpus, &memory, kind, system].map(dash));
        }
        cells
    }

    /// Writes the row for programs.
    pub(crate) fn document(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "name": self.name,
            "status": self.status,
            "ready": self.ready,
            "instance": self.instance,
            "addresses": self.addresses,
            "node": self.node,
            "created": self.created.map(|created| created.to_string()),
            "since": self.since.map(|since| since.to_string()),
            "runStrategy": self.run_strategy,
            "cpus": self.cpus,
            "memoryBytes": self.memory,
            "instanceType": self.instance_type,
            "system": self.system,
        })
    }
}

/// Writes an amount of memory in the largest unit that fits.
pub(crate) fn bytes(amount: u64) -> String {
    let units = ["", "Ki", "Mi", "Gi", "Ti"];
    let mut size = amount as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(size < 10.0 && size.fract() >= 0.05);
    format!("{size:.digits$}{}", units[unit])
}

/// Whether a condition of an object holds.
pub(super) fn holds(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.clone().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn since(instance: &Value, phase: &str) -> Option<Timestamp> {
    let mut passed = instance["status"]["phaseTransitionTimestamps"].as_array()?.iter();
    let last = passed.find(|passed| passed["phase"] == *phase)?;
    last["phaseTransitionTimestamp"].as_str()?.parse().ok()
}

fn addresses(instance: &Value) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for interface in instance["status"]["interfaces"].as_array().into_iter().flatten() {
        let all = interface["ipAddresses"].as_array().into_iter().flatten().chain([&interface["ipAddress"]]);
        for address in all.filter_map(Value::as_str).filter(|address| !address.is_empty()) {
            if !addresses.iter().any(|known| known == address) {
                addresses.push(address.to_owned());
            }
        }
    }
    addresses
}

fn cpus(instance: &Value, definition: &Value) -> Option<u64> {
    let product = |topology: &Value| {
        let counts = ["cores", "sockets", "threads"].map(|part| topology[part].as_u64());
        let any = counts.iter().any(Option::is_some);
        any.then(|| counts.iter().map(|count| count.unwrap_or(1).max(1)).product())
    };
    product(&instance["status"]["currentCPUTopology"]).or_else(|| product(&definition["domain"]["cpu"]))
}

fn memory(instance: &Value, definition: &Value) -> Option<u64> {
    let amounts = [
        instance.pointer("/status/memory/guestCurrent"),
        definition.pointer("/domain/memory/guest"),
        definition.pointer("/domain/resources/requests/memory"),
    ];
    let amounts = amounts.into_iter().flatten().filter_map(Value::as_str);
    amounts.filter_map(|amount| Quantity::parse(amount).ok()).map(|amount| amount.bytes()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn machine() -> Value {
        json!({
            "metadata": {"namespace": "a", "name": "m", "creationTimestamp": "2026-11-23T11:00:00Z"},
            "spec": {"runStrategy": "Always", "instancetype": {"name": "u1.small"}, "template": {"spec": {
                "domain": {"memory": {"guest": "128Mi"}, "cpu": {"cores": 2}}}}},
            "status": {"printableStatus": "Stopped"},
        })
    }

    fn instance() -> Value {
        json!({
            "metadata": {"namespace": "a", "name": "m", "creationTimestamp": "2026-11-23T11:50:00Z"},
            "spec": {"domain": {}},
            "status": {
                "phase": "Running", "nodeName": "node-0",
                "phaseTransitionTimestamps": [{"phase": "Running", "phaseTransitionTimestamp": "2026-11-23T11:51:00Z"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "interfaces": [{"ipAddress": "10.0.0.2", "ipAddresses": ["10.0.0.2", "fd00::2"]}],
                "currentCPUTopology": {"cores": 1, "sockets": 4, "threads": 1},
                "memory": {"guestCurrent": "1Gi"},
                "guestOSInfo": {"name": "Debian", "prettyName": "Debian 13"},
            },
        })
    }

    fn cells(row: &Row, wide: bool) -> String {
        let width = Width { namespaces: wide, wide };
        row.cells(width, NOW.parse().unwrap()).join(" | ")
    }

    #[test]
    fn a_row_has_what_machine_and_instance_say() {
        let mut running = machine();
        running["status"]["printableStatus"] = "Running".into();
        let row = Row::of(Some(&running), Some(&instance()));
        assert_eq!(cells(&row, false), "m | Running | Running | 10.0.0.2,fd00::2 | node-0 | 60m");
        assert_eq!(
            cells(&row, true),
            "a | m | Running | Running | 10.0.0.2,fd00::2 | node-0 | 60m | True | Always | 4 | 1Gi | u1.small | Debian 13"
        );
        assert_eq!(Width { namespaces: true, wide: true }.header().len(), 13);
        let document = row.document();
        assert_eq!((&document["memoryBytes"], &document["cpus"]), (&json!(1 << 30), &json!(4)));
        assert_eq!(document["since"], "2026-11-23T11:51:00Z");
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        let row = Row::of(Some(&machine()), None);
        assert_eq!(cells(&row, false), "m | Stopped | - | - | - | 60m");
        assert!(cells(&row, true).ends_with("False | Always | 2 | 128Mi | u1.small | -"));
        let alone = Row::of(None, Some(&instance()));
        assert_eq!(cells(&alone, false), "m | Running | Running | 10.0.0.2,fd00::2 | node-0 | 10m");
        let older = json!({"spec": {"running": false}});
        assert!(cells(&Row::of(Some(&older), None), true).contains("Halted"));
    }

    #[test]
    fn amounts_are_short() {
        for (amount, words) in [
            (0, "0"),
            (512, "512"),
            (1 << 20, "1Mi"),
            (3 << 29, "1.5Gi"),
            (250 << 20, "250Mi"),
            (1 << 50, "1024Ti"),
        ] {
            assert_eq!(bytes(amount), words);
        }
    }
}
