//! Every field's state: honoured, refused at start, or harmless. No field is accepted and dropped.
//!
//! The tables name path prefixes; the longest that fits decides. What is honoured works as the API says. What
//! is refused is accepted into the object (another release may honour it, and exports stay whole), but the
//! instance does not start: a condition names the field, the reason and the remedy. What is harmless changes
//! nothing that a guest depends on, and is answered with a warning.
//!
//! A test holds the tables to the API: no field of a specification is missing.

mod annotations;
mod cdi;
mod gates;
mod installation;
mod instance;
mod kinds;
mod limits;
mod machine;
mod migration;
mod misnomers;
mod values;

use std::collections::BTreeSet;

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceSpec};
pub use limits::memory_limit;
pub use misnomers::misnomer;
use serde_json::Value;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Works as the API says.
    Honoured,
    /// Works for these values; any other is refused at start.
    Only {
        /// Values that work, as text.
        values: &'static [&'static str],
        /// Why others do not.
        reason: &'static str,
        /// What would do.
        remedy: &'static str,
    },
    /// Refused at start.
    Refused {
        /// Why.
        reason: &'static str,
        /// What would do.
        remedy: &'static str,
    },
    /// Works where KVM runs the guest, and changes nothing under emulation; answered with a warning.
    WithKvm {
        /// What it does.
        note: &'static str,
    },
    /// Changes nothing that matters; answered with a warning, unless it holds one of these values.
    Harmless {
        /// Values that ask for what is done anyway.
        silent: &'static [&'static str],
        /// What happens instead.
        note: &'static str,
    },
}

/// Entries of a table: path prefix and state.
type Table = &'static [(&'static str, State)];

const fn only(values: &'static [&'static str], reason: &'static str, remedy: &'static str) -> State {
    State::Only { values, reason, remedy }
}

const fn refused(reason: &'static str, remedy: &'static str) -> State {
    State::Refused { reason, remedy }
}

const fn with_kvm(note: &'static str) -> State {
    State::WithKvm { note }
}

const fn harmless(note: &'static str) -> State {
    State::Harmless { silent: &[], note }
}

const fn harmless_unless(silent: &'static [&'static str], note: &'static str) -> State {
    State::Harmless { silent, note }
}

/// A field that keeps an instance from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Its path, for example `spec.domain.devices.interfaces[0].bridge`.
    pub field: String,
    /// What it holds, shortened.
    pub value: String,
    /// Why it is refused.
    pub reason: &'static str,
    /// What would do.
    pub remedy: &'static str,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} is {}: {}; {}", self.field, self.value, self.reason, self.remedy)
    }
}

/// Returns every field that keeps an instance from starting: one that is not honoured, or whose value is impossible.
pub fn unsupported(vmi: &VirtualMachineInstance) -> Vec<Unsupported> {
    let mut all = serde_json::to_value(vmi)
        .map(|object| refusals("VirtualMachineInstance", &object))
        .unwrap_or_default();
    all.extend(values::impossible("spec", &vmi.spec));
    all
}

/// Returns every field that keeps a machine's instance from being made: those of the machine itself first, then
/// those of its template.
pub fn unsupported_machine(vm: &VirtualMachine) -> Vec<Unsupported> {
    let mut all =
        serde_json::to_value(vm).map(|object| refusals("VirtualMachine", &object)).unwrap_or_default();
    if let Some(spec) = &vm.spec.template.spec {
        all.extend(values::impossible("spec.template.spec", spec));
    }
    all.sort_by_key(|one| one.field.starts_with("spec.template"));
    all
}

fn refusals(kind: &str, object: &Value) -> Vec<Unsupported> {
    let mut out = Vec::new();
    visit(kind, object, &mut |field, value, state| {
        let (reason, remedy) = match state {
            State::Refused { reason, remedy } => (reason, remedy),
            State::Only { values, reason, remedy } if !values.contains(&text(value).as_str()) => {
                (reason, remedy)
            }
            _ => return,
        };
        out.push(Unsupported { field: field.to_owned(), value: shown(value), reason, remedy });
    });
    out
}

/// Returns the warnings that an object of a kind is answered with, each beginning `ironclad:`.
pub fn warnings(kind: &str, object: &Value) -> Vec<String> {
    let mut out = Vec::new();
    visit(kind, object, &mut |field, value, state| match state {
        State::Harmless { silent, note } if !silent.contains(&text(value).as_str()) => {
            out.push(format!("ironclad: {field} has no effect: {note}"));
        }
        State::WithKvm { note } => {
            out.push(format!("ironclad: {field} takes effect on nodes with KVM only: {note}"));
        }
        State::Refused { reason, remedy } => {
            out.push(format!("ironclad: {field} keeps the machine from starting: {reason}; {remedy}"));
        }
        State::Only { values, reason, remedy } if !values.contains(&text(value).as_str()) => {
            out.push(format!("ironclad: {field} keeps the machine from starting: {reason}; {remedy}"));
        }
        _ => {}
    });
    if kind == "KubeVirt" {
        out.extend(gates::warnings(object));
    }
    let base = match kind {
        "VirtualMachineInstance" => "spec",
        "VirtualMachine" | "VirtualMachineInstanceReplicaSet" => "spec.template.spec",
        "VirtualMachinePool" => "spec.virtualMachineTemplate.spec.template.spec",
        _ => return out,
    };
    let spec = object.pointer(&format!("/{}", base.replace('.', "/")));
    if let Some(Ok(spec)) =
        spec.map(|spec| serde_json::from_value::<VirtualMachineInstanceSpec>(spec.clone()))
    {
        out.extend(values::impossible(base, &spec).into_iter().map(|one| {
            format!("ironclad: {} keeps the machine from starting: {}; {}", one.field, one.reason, one.remedy)
        }));
        out.extend(memory_limit(base, &spec).map(|problem| {
            format!("ironclad: the machine does not start, or is ended for want of memory: {problem}")
        }));
    }
    out
}

/// Returns the state of a field of a kind; the path has no list positions: `spec.domain.devices.disks.io`.
pub fn state(kind: &str, path: &str) -> Option<State> {
    longest(kind, path).map(|(_, state)| state)
}

/// Returns every entry of a kind's tables: path prefix and state, for documentation.
pub fn entries(kind: &str) -> Vec<(String, State)> {
    tables(kind)
        .iter()
        .flat_map(|(base, table)| table.iter().map(move |(path, state)| (join(base, path), *state)))
        .collect()
}

/// Returns every annotation that has a state, for documentation.
pub fn annotations() -> &'static [(&'static str, State)] {
    annotations::TABLE
}

/// Tables of a kind, each with the path that its entries stand below.
fn tables(kind: &str) -> &'static [(&'static str, Table)] {
    match kind {
        "VirtualMachineInstance" => &[("spec", instance::TABLE)],
        "VirtualMachine" => &[("spec", machine::TABLE), ("spec.template.spec", instance::TABLE)],
        "VirtualMachineInstanceMigration" => &[("spec", migration::TABLE)],
        "KubeVirt" => &[("spec", installation::TABLE)],
        "VirtualMachineInstancetype" | "VirtualMachineClusterInstancetype" => {
            &[("spec", kinds::INSTANCETYPE)]
        }
        "VirtualMachinePreference" | "VirtualMachineClusterPreference" => &[("spec", kinds::PREFERENCE)],
        "VirtualMachineInstanceReplicaSet" => {
            &[("spec", kinds::REPLICA_SET), ("spec.template.spec", instance::TABLE)]
        }
        "VirtualMachinePool" => &[
            ("spec", kinds::POOL),
            ("spec.virtualMachineTemplate.spec", machine::TABLE),
            ("spec.virtualMachineTemplate.spec.template.spec", instance::TABLE),
        ],
        "VirtualMachineInstancePreset" => &[("spec", kinds::PRESET)],
        "MigrationPolicy" => &[("spec", kinds::POLICY)],
        "VirtualMachineSnapshot" | "VirtualMachineSnapshotContent" => &[("spec", kinds::SNAPSHOT)],
        "VirtualMachineRestore" => &[("spec", kinds::RESTORE)],
        "VirtualMachineExport" => &[("spec", kinds::EXPORT)],
        "VirtualMachineClone" => &[("spec", kinds::CLONE)],
        "VirtualMachineBackup" | "VirtualMachineBackupTracker" => &[("spec", kinds::BACKUP)],
        _ => cdi::tables(kind),
    }
}

fn join(base: &str, path: &str) -> String {
    if path.is_empty() { base.to_owned() } else { format!("{base}.{path}") }
}

/// Returns the number of path steps of the longest entry that fits, and its state.
fn longest(kind: &str, path: &str) -> Option<(usize, State)> {
    let mut best: Option<(usize, State)> = None;
    for (base, table) in tables(kind) {
        let Some(rest) = below(base, path) else { continue };
        let depth = base.split('.').count();
        for (entry, state) in *table {
            let steps = if entry.is_empty() { depth } else { depth + entry.split('.').count() };
            let fits = entry.is_empty() || below(entry, rest).is_some();
            if fits && best.is_none_or(|(most, _)| steps > most) {
                best = Some((steps, *state));
            }
        }
    }
    best
}

/// Returns what of a path stands below a prefix of whole steps.
fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// One step down an object.
struct Step<'a> {
    /// Path in the tables.
    path: String,
    /// Path as the user knows it, with list positions.
    shown: String,
    value: &'a Value,
}

/// Calls `report` once for every field of `spec` that is set and has an entry, at the depth of the entry, and for annotations.
fn visit(kind: &str, object: &Value, report: &mut dyn FnMut(&str, &Value, State)) {
    annotations::visit(kind, object, report);
    let Some(spec) = object.get("spec") else { return };
    let mut seen = BTreeSet::new();
    let mut steps = vec![Step { path: "spec".to_owned(), shown: "spec".to_owned(), value: spec }];
    walk(kind, &mut steps, &mut seen, report);
}

fn walk(
    kind: &str,
    steps: &mut Vec<Step<'_>>,
    seen: &mut BTreeSet<String>,
    report: &mut dyn FnMut(&str, &Value, State),
) {
    let Some(Step { path, shown, value }) = steps.last() else {
        return;
    };
    let (path, shown, value) = (path.clone(), shown.clone(), *value);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            // A name of a map's entry with a dot in it stays one step.
            for (name, child) in fields {
                let name = name.replace('.', "_");
                steps.push(Step {
                    path: format!("{path}.{name}"),
                    shown: format!("{shown}.{name}"),
                    value: child,
                });
                walk(kind, steps, seen, report);
                steps.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, child) in items.iter().enumerate() {
                // List positions are no steps of their own in the tables.
                let Some(list) = steps.pop() else { return };
                steps.push(Step { path: path.clone(), shown: format!("{shown}[{index}]"), value: child });
                walk(kind, steps, seen, report);
                steps.pop();
                steps.push(list);
            }
        }
        Value::Null => {}
        _ => {
            if let Some((depth, state)) = longest(kind, &path)
                && let Some(step) = steps.get(depth - 1)
                && seen.insert(step.shown.clone())
            {
                report(&step.shown, step.value, state);
            }
        }
    }
}

/// A scalar as text; nothing for what has parts that are set.
fn text(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => String::new(),
    }
}

/// A value as a message shows it, shortened.
fn shown(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests;
