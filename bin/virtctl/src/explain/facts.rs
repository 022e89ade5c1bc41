//! The objects that a machine's story is told from, and short ways to what stands in them.

use jiff::Timestamp;
use serde_json::Value;

/// What is known of one machine at one moment. What does not exist, or may not be read, is missing or `null`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) machine: Value,
    pub(crate) instance: Value,
    /// The instance's launcher Pods.
    pub(crate) pods: Vec<Value>,
    /// The node that the instance is on.
    pub(crate) node: Value,
    /// Claims that the volumes name, as far as they exist.
    pub(crate) claims: Vec<Value>,
    /// DataVolumes that the volumes name, as far as they exist.
    pub(crate) data_volumes: Vec<Value>,
    /// Events of all of them.
    pub(crate) events: Vec<Value>,
    /// What could not be read, and why.
    pub(crate) unread: Vec<String>,
    pub(crate) now: Timestamp,
}

/// A condition of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition<'a>(&'a Value);

impl<'a> Condition<'a> {
    pub(super) fn is(self, status: &str) -> bool {
        self.0["status"] == status
    }

    pub(super) fn reason(self) -> &'a str {
        text(self.0, "/reason")
    }

    pub(super) fn message(self) -> &'a str {
        text(self.0, "/message")
    }
}

/// Returns a text in an object; empty when there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the items of a list in an object.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Returns a time in an object.
pub(super) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// Returns a condition of an object, when it has the status.
pub(super) fn condition<'a>(object: &'a Value, kind: &str, status: &str) -> Option<Condition<'a>> {
    let found = list(object, "/status/conditions").find(|condition| condition["type"] == kind);
    found.map(Condition).filter(|condition| condition.is(status))
}

/// Words of an object, quoted with where they come from; empty when it has none.
pub(super) fn said(who: &str, condition: Condition<'_>) -> String {
    match (condition.reason(), condition.message()) {
        ("", "") => String::new(),
        (reason, "") => format!("{reason} ({who})"),
        ("", message) => format!("{message} ({who})"),
        (reason, message) => format!("{reason}: {message} ({who})"),
    }
}

impl Facts {
    /// Returns whether there is an instance.
    pub(super) fn has_instance(&self) -> bool {
        self.instance.is_object()
    }

    /// The phase of the instance; empty when there is none.
    pub(super) fn phase(&self) -> &str {
        text(&self.instance, "/status/phase")
    }

    /// Returns whether the instance has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// When the machine is switched on, by the newer field or the older one.
    pub(super) fn strategy(&self) -> &str {
        match (text(&self.machine, "/spec/runStrategy"), &self.machine["spec"]["running"]) {
            ("", Value::Bool(true)) => "Always",
            ("", Value::Bool(false)) => "Halted",
            (strategy, _) => strategy,
        }
    }

    /// The definition of the instance: of the one that is there, or of the next.
    pub(super) fn definition(&self) -> &Value {
        if self.has_instance() { &self.instance["spec"] } else { &self.machine["spec"]["template"]["spec"] }
    }

    /// Where a field of the instance is written: in the machine's template, or in the instance itself.
    pub(super) fn prefix(&self) -> &'static str {
        if self.machine.is_object() { "spec.template.spec" } else { "spec" }
    }

    /// A condition of the instance, or the machine's copy of it.
    pub(super) fn condition(&self, kind: &str, status: &str) -> Option<Condition<'_>> {
        let of_machine = || condition(&self.machine, kind, status);
        if self.has_instance() { condition(&self.instance, kind, status) } else { of_machine() }
    }

    /// The Pod that the instance lives in: the newest that is not on its way out, else any.
    pub(super) fn pod(&self) -> Option<&Value> {
        let live = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
        self.pods.iter().max_by_key(|pod| (live(pod), text(pod, "/metadata/creationTimestamp").to_owned()))
    }

    /// The claims and DataVolumes that the volumes name: kind of source, and name.
    pub(crate) fn storage(&self) -> Vec<(&'static str, String)> {
        let named = |volume: &Value| {
            let claim = text(volume, "/persistentVolumeClaim/claimName");
            let data = text(volume, "/dataVolume/name");
            match (claim, data) {
                ("", "") => None,
                ("", data) => Some(("DataVolume", data.to_owned())),
                (claim, _) => Some(("PersistentVolumeClaim", claim.to_owned())),
            }
        };
        list(self.definition(), "/volumes").filter_map(named).collect()
    }

    /// The newest warning with one of the reasons.
    pub(super) fn warning(&self, reasons: &[&str]) -> Option<&Value> {
        let fits = |event: &&Value| event["type"] == "Warning" && reasons.contains(&text(event, "/reason"));
        self.events.iter().filter(fits).max_by_key(|event| when(event))
    }
}

/// The last time that an event was.
pub(super) fn when(event: &Value) -> Option<Timestamp> {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/metadata/creationTimestamp",
    ]
    .into_iter()
    .find_map(|pointer| time(event, pointer))
}
