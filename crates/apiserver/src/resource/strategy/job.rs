//! Jobs and the schedules that make them.

use machinery::field::{FieldError, Path};
use machinery::selector::LabelSelector;
use machinery::{names, object};
use serde_json::{Map, Value, json};

use super::workload::{default_labels, default_template};
use super::{set_default, text};
use crate::Result;
use crate::resource::Call;

/// Labels that a Job's Pods carry: the older names have no domain, and tools still look for them.
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
/// The one of them that the selector of a Job names.
const SELECTED: &str = UID_LABELS[1];

/// What a Job gets when it is made; the template of a CronJob stays as it is written.
pub(super) fn default_job(draft: &mut Value) {
    default_template(draft);
    default_labels(draft);
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set_default(spec, "completions", 1);
    }
    // Tries are counted for each index, or else for the whole Job.
    let tries = if spec["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
    let replaced = if spec["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
    for (name, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(tries)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!(replaced)),
        ("manualSelector", json!(false)),
    ] {
        set_default(spec, name, value);
    }
}

/// Has a new Job select its own Pods by its identity, unless its writer sees to that.
pub(super) fn select_own(_: &mut Call, draft: &mut Value) -> Result<()> {
    let (name, uid) = (object::name(draft).to_owned(), object::uid(draft).to_owned());
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return Ok(()) };
    if spec["manualSelector"] == true {
        return Ok(());
    }
    let labels = NAME_LABELS.map(|label| (label, &name)).into_iter();
    let labels = labels.chain(UID_LABELS.map(|label| (label, &uid)));
    // What was given stays: where it is wrong, validation says so.
    for (label, value) in labels {
        set_within(spec, &["template", "metadata", "labels"], label, value);
    }
    set_within(spec, &["selector", "matchLabels"], SELECTED, &uid);
    // Whoever reads the Job finds these labels on it as well, as if it had been written with them.
    default_labels(draft);
    Ok(())
}

/// Sets a text that is not there yet in a map further down, which is made where it is missing.
fn set_within(object: &mut Value, path: &[&str], name: &str, value: &str) {
    let mut map = object;
    for step in path {
        if map[*step].is_null() {
            map[*step] = json!({});
        }
        map = &mut map[*step];
        if !map.is_object() {
            return;
        }
    }
    set_default(map, name, value);
}

/// Checks what a Job selects, and what cannot be changed in it.
pub(super) fn validate_job(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !call.sub().is_empty() {
        return errors;
    }
    selection(object, old, &mut errors);
    match old {
        // One that grows has the name that it has.
        Some(old) => update(object, old, &mut errors),
        None => indexed_name(object, &mut errors),
    }
    errors
}

/// A Job selects the Pods that it makes and, unless its writer says that he knows better, no others.
fn selection(job: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &job["spec"];
    let (selector, metadata) = (&spec["selector"], &spec["template"]["metadata"]);
    let path = Path::new("spec.selector");
    let of_template = Path::new("spec.template.metadata.labels");
    if spec["manualSelector"] != true && !selector.is_null() {
        // Jobs from before the labels had a domain go on without those.
        let had = |old: &Value| {
            let labels = &old["spec"]["template"]["metadata"]["labels"];
            [UID_LABELS[1], NAME_LABELS[1]].iter().all(|label| !labels[*label].is_null())
        };
        let count = if old.is_none_or(had) { 2 } else { 1 };
        let (uid, name) = (object::uid(job), object::name(job));
        let mut generated = Map::new();
        for at in 0..count {
            for (label, expected) in [(UID_LABELS[at], uid), (NAME_LABELS[at], name)] {
                generated.insert(label.to_owned(), expected.into());
                let (at, detail) = (of_template.key(label), format!("must be '{expected}'"));
                match metadata["labels"].get(label) {
                    None => errors.push(FieldError::required(at, detail)),
                    Some(found) if found != expected => {
                        errors.push(FieldError::invalid(at, metadata["labels"].clone(), detail));
                    }
                    Some(_) => {}
                }
            }
        }
        let generated = json!({"metadata": {"labels": generated}});
        if LabelSelector::from_object(selector).is_ok_and(|parsed| !parsed.matches(&generated)) {
            errors.push(FieldError::invalid(path.clone(), selector.clone(), "`selector` not auto-generated"));
        }
    }
    if selector.is_null() {
        errors.push(FieldError::required(path, ""));
    }
    let chosen =
        LabelSelector::from_object(selector).map_or(true, |parsed| parsed.matches(&spec["template"]));
    if selector.is_null() || !chosen {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(of_template, metadata["labels"].clone(), detail));
    }
}

/// The Pods of an indexed Job are named for it and their index, and are hosts of that name.
fn indexed_name(job: &Value, errors: &mut Vec<FieldError>) {
    let spec = &job["spec"];
    let Some(count) = spec["completions"].as_i64().filter(|count| *count > 0) else { return };
    let longest = format!("{}-{}", object::name(job), count - 1);
    if spec["completionMode"] == "Indexed" && !names::dns_label(&longest).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {longest}");
        errors.push(FieldError::invalid(Path::new("metadata.name"), object::name(job), detail));
    }
}

/// Checks what cannot be changed in a Job.
fn update(job: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (spec, before) = (&job["spec"], &old["spec"]);
    let mut template = before["template"].clone();
    // Who queues Jobs decides where their Pods may run before any of them does.
    if before["suspend"] == true && old["status"]["startTime"].is_null() {
        take_directives(&mut template, &spec["template"]);
    }
    let in_tandem = spec["completionMode"] == "Indexed";
    for (field, stays) in [
        ("completions", spec["completions"] == before["completions"]),
        ("selector", spec["selector"] == before["selector"]),
        ("template", is_same(&spec["template"], &template)),
        ("completionMode", spec["completionMode"] == before["completionMode"]),
        ("podFailurePolicy", spec["podFailurePolicy"] == before["podFailurePolicy"]),
        ("backoffLimitPerIndex", spec["backoffLimitPerIndex"] == before["backoffLimitPerIndex"]),
        ("successPolicy", spec["successPolicy"] == before["successPolicy"]),
    ] {
        let detail = match field {
            "completions" if in_tandem && spec["completions"] == spec["parallelism"] => continue,
            // That there must be a number is told already.
            "completions" if in_tandem && spec["completions"].is_null() => continue,
            "completions" if in_tandem => "can only be modified in tandem with spec.parallelism",
            _ => "field is immutable",
        };
        if !stays {
            errors.push(FieldError::invalid(Path::new("spec").child(field), spec[field].clone(), detail));
        }
    }
}

/// Takes from the template `new` what says where its Pods may run and how they are labelled.
fn take_directives(old: &mut Value, new: &Value) {
    for field in ["labels", "annotations"] {
        put(&mut old["metadata"], field, &new["metadata"][field]);
    }
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        put(&mut old["spec"], field, &new["spec"][field]);
    }
    // Of the affinity, only that to nodes: that to other Pods stays.
    let node = new["spec"]["affinity"]["nodeAffinity"].clone();
    if !old["spec"]["affinity"].is_null() || !node.is_null() {
        put(&mut old["spec"]["affinity"], "nodeAffinity", &node);
    }
}

fn put(object: &mut Value, name: &str, value: &Value) {
    if object.is_null() && !value.is_null() {
        *object = json!({});
    }
    let Some(fields) = object.as_object_mut() else { return };
    if value.is_null() {
        fields.shift_remove(name);
    } else {
        fields.insert(name.to_owned(), value.clone());
    }
}

/// Whether two templates say the same. An affinity or metadata of nothing says nothing.
fn is_same(one: &Value, other: &Value) -> bool {
    let bare = |template: &Value| {
        let mut template = template.clone();
        for (part, field) in [("spec", "affinity"), ("metadata", "labels"), ("metadata", "annotations")] {
            if template[part][field].as_object().is_some_and(Map::is_empty) {
                put(&mut template[part], field, &Value::Null);
            }
        }
        template
    };
    bare(one) == bare(other)
}

/// Checks a CronJob's schedule.
pub(super) fn validate_cron_job(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let schedule = text(object, &["spec", "schedule"]);
    let path = Path::new("spec.schedule");
    if schedule.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    if machinery::schedule::is_valid(schedule) {
        Vec::new()
    } else {
        vec![FieldError::invalid(
            path,
            schedule,
            "expected exactly 5 fields, as in \"0 3 * * 1\", or a word such as @daily",
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(suspended: bool, template: &Value) -> Value {
        let labels = json!({
            "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u",
            "job-name": "j", "batch.kubernetes.io/job-name": "j",
        });
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
        for (name, value) in template.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
            "suspend": suspended, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1,
            "selector": {"matchLabels": {SELECTED: "u"}},
            "template": {"metadata": {"labels": labels}, "spec": spec}}})
    }

    fn changed(old: &Value, new: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        update(new, old, &mut errors);
        errors.iter().map(|error| error.path.to_string()).collect()
    }

    #[test]
    fn who_waits_may_be_sent_elsewhere() {
        let to_pods = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}});
        let to_nodes = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}});
        for (template, only_suspended) in [
            (json!({"nodeSelector": {"a": "b"}}), true),
            (json!({"tolerations": [{"operator": "Exists"}]}), true),
            (json!({"schedulingGates": [{"name": "g"}]}), true),
            (json!({"affinity": to_nodes}), true),
            (json!({"affinity": to_pods}), false),
            (json!({"containers": [{"name": "c", "image": "other"}]}), false),
        ] {
            let expected: &[&str] = if only_suspended { &[] } else { &["spec.template"] };
            let (plain, other) = (job(true, &json!({})), job(true, &template));
            assert_eq!(changed(&plain, &other), expected, "{template}");
            assert_eq!(changed(&other, &plain), expected, "back from {template}");
            let running = changed(&job(false, &json!({})), &job(false, &template));
            assert_eq!(running, ["spec.template"], "running: {template}");
            let mut started = plain.clone();
            started["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
            assert_eq!(changed(&started, &other), ["spec.template"], "started: {template}");
        }
        let (old, mut labelled) = (job(true, &json!({})), job(true, &json!({})));
        labelled["spec"]["template"]["metadata"]["annotations"] = json!({"a": "b"});
        assert!(changed(&old, &labelled).is_empty());
    }

    #[test]
    fn an_indexed_job_grows_in_both_numbers() {
        let sized = |mode: &str, completions: i64, parallelism: i64| {
            let mut job = job(false, &json!({}));
            job["spec"]["completionMode"] = mode.into();
            job["spec"]["completions"] = completions.into();
            job["spec"]["parallelism"] = parallelism.into();
            job
        };
        assert!(changed(&sized("Indexed", 1, 1), &sized("Indexed", 3, 3)).is_empty());
        assert_eq!(changed(&sized("Indexed", 1, 1), &sized("Indexed", 3, 1)), ["spec.completions"]);
        assert_eq!(changed(&sized("NonIndexed", 1, 1), &sized("NonIndexed", 3, 3)), ["spec.completions"]);
    }
}
