//! Rules of CDI's kinds. No program needs them as types, so they are judged as they were written.
//!
//! Clients know the paths with the capitals of Go, and one refusal at a time.

mod source;

use machinery::field::{FieldError, Path, Problem};
use machinery::quantity::Quantity;
use machinery::schedule;
use serde_json::Value;

/// The first rule that is broken.
pub type Checked = Result<(), Box<FieldError>>;

/// Length of a name that also becomes a label.
const LABEL: usize = 63;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// The least disk that a machine can have.
const LEAST: u64 = 1 << 20;

/// Returns a child that is there.
fn set<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|child| !child.is_null())
}

/// Returns a text; what is missing is empty.
fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn invalid(path: Path, value: impl Into<Value>, rule: impl Into<String>) -> Checked {
    Err(Box::new(FieldError::invalid(path, value, rule)))
}

/// Checks the specification of a DataVolume that stands at `at`.
pub fn data_volume(at: &Path, spec: &Value) -> Checked {
    let (name, target) = match (set(spec, "pvc"), set(spec, "storage")) {
        (None, None) => {
            return invalid(at.child("PVC"), (), "say which volume is wanted: give storage, or pvc");
        }
        (Some(_), Some(_)) => {
            return invalid(at.child("PVC.Storage"), (), "give storage or pvc, not both");
        }
        (Some(claim), None) => ("PVC", claim),
        (None, Some(storage)) => ("Storage", storage),
    };
    size(&at.child(name), spec, target)?;
    length(text(target, "storageClassName"), 253)?;
    access_modes(&at.child("PVC.accessModes"), name == "PVC", target)?;
    let (source, reference) = (set(spec, "source"), set(spec, "sourceRef"));
    if set(target, "dataSource").is_some() || set(target, "dataSourceRef").is_some() {
        if source.is_some() || reference.is_some() {
            let rule = "the claim's dataSource fills it already; leave out source and sourceRef";
            return invalid(at.child("source"), (), rule);
        }
        return populator(at, target);
    }
    match (source, reference) {
        (Some(source), None) => source::data_volume(at, source, text(spec, "contentType")),
        (None, Some(reference)) => source_reference(&at.child("sourceRef"), reference),
        (None, None) => invalid(
            at.child("source"),
            (),
            "say what fills the volume: give source (http, registry, blank, upload, pvc, ...) or sourceRef",
        ),
        (Some(_), Some(_)) => invalid(at.child("source"), (), "give source or sourceRef, not both"),
    }
}

/// A size may be left out where it is that of the volume that is copied.
fn size(at: &Path, spec: &Value, target: &Value) -> Checked {
    let at_size = at.child("resources.requests.size");
    let copies = |source: &Value| set(source, "pvc").is_some() || set(source, "snapshot").is_some();
    let is_copy = set(spec, "sourceRef").is_some() || set(spec, "source").is_some_and(copies);
    let Some(written) = target.pointer("/resources/requests/storage").filter(|size| !size.is_null()) else {
        if is_copy && set(spec, "storage").is_some() {
            return Ok(());
        }
        return invalid(at_size, (), "give a size, such as resources: {requests: {storage: 10Gi}}");
    };
    let amount = written.as_str().map_or_else(|| written.to_string(), str::to_owned);
    match Quantity::parse(&amount) {
        Err(error) => invalid(at_size, amount, error.to_string()),
        Ok(size) if size.is_zero() || size.is_negative() => {
            invalid(at_size, amount, "a volume has a size: write an amount such as 10Gi")
        }
        Ok(size) if size.bytes() < LEAST => invalid(at_size, amount, "a volume has 1Mi at least"),
        Ok(_) => Ok(()),
    }
}

/// A claim (`exactly_one`) names its access mode; storage may name several, or leave them to its class.
fn access_modes(at: &Path, exactly_one: bool, target: &Value) -> Checked {
    let modes: Vec<&str> =
        target["accessModes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if exactly_one && modes.len() != 1 {
        let rule = "give one access mode, such as ReadWriteOnce; storage, in place of pvc, may leave it to the class";
        return invalid(at.clone(), target["accessModes"].clone(), rule);
    }
    match modes.into_iter().find(|mode| !ACCESS_MODES.contains(mode)) {
        Some(mode) => invalid(at.clone(), mode, format!("write one of {}", ACCESS_MODES.join(", "))),
        None => Ok(()),
    }
}

/// Checks what the claim itself says that it is filled from.
fn populator(at: &Path, target: &Value) -> Checked {
    let (source, reference) = (set(target, "dataSource"), set(target, "dataSourceRef"));
    let differ = |one: &Value, other: &Value| {
        ["apiGroup", "kind", "name"].iter().any(|part| text(one, part) != text(other, part))
    };
    if let (Some(source), Some(reference)) = (source, reference)
        && differ(source, reference)
    {
        return invalid(Path::root(), (), "dataSource and dataSourceRef differ; leave one out");
    }
    for (name, reference) in [("dataSource", source), ("dataSourceRef", reference)] {
        let Some(reference) = reference else { continue };
        let at = at.child(name);
        if !text(reference, "namespace").is_empty() {
            let rule = "it is looked for in the claim's own namespace; leave it out";
            return invalid(at.child("namespace"), text(reference, "namespace"), rule);
        }
        for part in ["name", "kind"] {
            if text(reference, part).is_empty() {
                return invalid(at.child(part), "", format!("give the {part} of what fills the volume"));
            }
        }
        if text(reference, "apiGroup").is_empty() && text(reference, "kind") != "PersistentVolumeClaim" {
            return invalid(
                at.child("apiGroup"),
                "",
                "every kind but PersistentVolumeClaim has a group: give it",
            );
        }
    }
    Ok(())
}

fn source_reference(at: &Path, reference: &Value) -> Checked {
    if text(reference, "kind") != "DataSource" {
        return invalid(at.child("Kind"), text(reference, "kind"), "it is a DataSource");
    }
    if text(reference, "name").is_empty() {
        return invalid(at.child("Name"), "", "name the DataSource");
    }
    Ok(())
}

/// Refuses a name that is too long for what is made of it.
fn length(name: &str, most: usize) -> Checked {
    if name.len() <= most {
        return Ok(());
    }
    invalid(Path::root(), name, format!("a name has {most} characters at most"))
}

/// Checks a new DataImportCron of a name.
pub fn import_cron(name: &str, spec: &Value) -> Checked {
    length(name, LABEL)?;
    let at = Path::new("spec");
    let template = spec.pointer("/template/spec").unwrap_or(&Value::Null);
    let source = &template["source"];
    if set(source, "registry").is_none() && set(source, "pvc").is_none() {
        return invalid(at.child("Template"), (), "its source is a registry or a pvc: give one");
    }
    let is_set = |name: &str| match &template[name] {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    let unsettable = ["sourceRef", "contentType", "checkpoints", "finalCheckpoint"];
    if let Some(field) = unsettable.into_iter().find(|field| is_set(field)) {
        let rule = format!("regular imports have no {field}: leave it out");
        return invalid(at.child("Template"), template[field].clone(), rule);
    }
    data_volume(&Path::new("Template"), template)?;
    let written = text(spec, "schedule");
    if !written.is_empty() && !schedule::is_valid(without_zone(written)) {
        let rule = "write five fields, as in \"0 3 * * 1\", or a word such as @daily";
        return invalid(at.child("Schedule"), written, rule);
    }
    if spec["importsToKeep"].as_i64().is_some_and(|kept| kept < 0) {
        return invalid(at.child("ImportsToKeep"), spec["importsToKeep"].clone(), "write 0 or more");
    }
    if let Some(rule) = set(spec, "garbageCollect").filter(|rule| *rule != "Never" && *rule != "Outdated") {
        return invalid(at.child("GarbageCollect"), rule.clone(), "write Outdated or Never");
    }
    let managed = text(spec, "managedDataSource");
    if managed.is_empty() {
        return invalid(
            at.child("ManagedDataSource"),
            "",
            "name the DataSource that is pointed at the newest import",
        );
    }
    length(managed, LABEL)
}

/// Checks a VolumeImportSource (`has_source`) or VolumeUploadSource of a name.
pub fn volume_source(name: &str, spec: &Value, has_source: bool) -> Checked {
    length(name, LABEL)?;
    let at = Path::new("spec");
    let content = text(spec, "contentType");
    source::content_type(&at, content)?;
    if !has_source {
        return Ok(());
    }
    if is_staged(spec) && text(spec, "targetClaim").is_empty() {
        return invalid(at.child("targetClaim"), "", "an import in stages goes to a claim: name it");
    }
    source::import(&at, &spec["source"], content)
}

/// A schedule without the zone of its times, which may stand before it.
fn without_zone(schedule: &str) -> &str {
    let zone = ["TZ=", "CRON_TZ="].into_iter().any(|word| schedule.starts_with(word));
    schedule.split_once(' ').filter(|_| zone).map_or(schedule, |(_, times)| times.trim_start())
}

/// A specification without what says nothing and clients add as they write an object back, and with amounts by their value.
fn meant(spec: &Value) -> Value {
    const EMPTY: [&str; 5] = ["resources", "requests", "limits", "metadata", "status"];
    let Value::Object(fields) = spec else { return spec.clone() };
    let said = fields.iter().filter_map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("requests" | "limits", Value::Object(amounts)) => {
                amounts.iter().map(|(name, amount)| (name.clone(), by_value(amount))).collect()
            }
            (_, Value::Array(items)) => items.iter().map(meant).collect(),
            _ => meant(value),
        };
        let nothing = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty() && EMPTY.contains(&name.as_str()),
            Value::Bool(true) | Value::Number(_) => false,
        };
        (!nothing).then(|| (name.clone(), value))
    });
    Value::Object(said.collect())
}

fn by_value(amount: &Value) -> Value {
    let known = amount.as_str().and_then(|text| Quantity::parse(text).ok());
    known.map_or_else(|| amount.clone(), |amount| amount.canonical().into())
}

/// Whether an import goes on from checkpoint to checkpoint.
fn is_staged(spec: &Value) -> bool {
    let source = &spec["source"];
    spec["checkpoints"].as_array().is_some_and(|list| !list.is_empty())
        && (set(source, "vddk").is_some() || set(source, "imageio").is_some())
}

/// Refuses a change of a specification, but for the checkpoints of an import in stages.
pub fn unchanged(kind: &str, old: &Value, new: &Value) -> Checked {
    let mut compared = [meant(old), meant(new)];
    if is_staged(new) && kind != "DataImportCron" {
        for spec in compared.iter_mut().filter_map(Value::as_object_mut) {
            spec.remove("checkpoints");
            spec.remove("finalCheckpoint");
        }
    }
    if compared[0] == compared[1] {
        return Ok(());
    }
    let mut error = FieldError::new(
        Path::new(format!("{kind}.Spec")),
        Problem::Duplicate,
        Value::Null,
        "it cannot be changed; delete the object and make another",
    );
    error.reticent = true;
    Err(Box::new(error))
}

#[cfg(test)]
mod tests;
