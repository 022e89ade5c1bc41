//! Events, which two groups show: the older one takes almost anything, the newer one is strict.
//!
//! Errors name fields as the older group does, whichever was asked, but for the one who reports.

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::object;
use serde_json::Value;

use super::{Row, Rule, is_unset};
use Rule::{All, AtLeast, Fixed, Holds, Name, Required};

/// Holds an Event, in the older group's form, against what both groups say, or (`strict`) what the newer one says.
pub(in super::super) fn check(event: &Value, old: Option<&Value>, strict: bool) -> Vec<FieldError> {
    let rows = match (strict, old) {
        (false, _) => LENIENT,
        (true, None) => CREATED,
        (true, Some(_)) => CHANGED,
    };
    let mut errors = super::check(rows, event, old);
    if strict && old.is_some_and(|old| old["series"] != event["series"]) {
        super::apply(SERIES, event, None, &Path::root(), &mut errors);
    }
    errors
}

/// What holds in both groups; the name of the field that says who reports differs.
const LENIENT: &[Row] = &[
    Row("", &[Holds(place)]),
    Row(
        "",
        &[Holds(|event, _, path, errors| {
            if is_timed(event) {
                super::apply(TIMED, event, None, path, errors);
            }
        })],
    ),
];
const STRICT: &[Row] = &[
    Row("", &[Holds(place)]),
    Row(
        "",
        &[Holds(|event, _, path, errors| {
            if is_timed(event) {
                super::apply(TIMED_STRICT, event, None, path, errors);
            }
        })],
    ),
];

/// An Event with a time of its own says what was done, by whom and why.
const TIMED: &[Row] = &[
    Row("reportingComponent", &[Required("")]),
    Row("reportingComponent", &[Name(names::qualified_name)]),
    Row("", &[All(DEED)]),
];
const TIMED_STRICT: &[Row] = &[
    Row("reportingController", &[Required("")]),
    Row("reportingController", &[Name(names::qualified_name)]),
    Row("", &[All(DEED)]),
];
const DEED: &[Row] = &[
    Row("reportingInstance", &[Required(""), Name(|text| no_longer(text, 128))]),
    Row("action", &[Required(""), Name(|text| no_longer(text, 128))]),
    Row("reason", &[Required(""), Name(|text| no_longer(text, 128))]),
    Row("message", &[Name(|text| no_longer(text, 1024))]),
];

const CREATED: &[Row] = &[
    Row("", &[All(STRICT)]),
    Row("metadata.name", &[Name(names::dns_subdomain)]),
    Row("", &[All(SERIES)]),
    Row("eventTime", &[Required("")]),
    Row("type", &[Name(severity)]),
    Row("firstTimestamp", &[UNSET]),
    Row("lastTimestamp", &[UNSET]),
    Row("count", &[UNSET]),
    Row("source", &[UNSET]),
];

const SERIES: &[Row] =
    &[Row("series?.count", &[AtLeast(2)]), Row("series?.lastObservedTime", &[Required("")])];

/// Only the series goes on.
const CHANGED: &[Row] = &[
    Row("", &[All(STRICT)]),
    Row("involvedObject", &[Fixed]),
    Row("reason", &[Fixed]),
    Row("message", &[Fixed]),
    Row("source", &[Fixed]),
    Row("firstTimestamp", &[Fixed]),
    Row("lastTimestamp", &[Fixed]),
    Row("count", &[Fixed]),
    Row("type", &[Fixed]),
    Row("eventTime", &[Fixed]),
    Row("action", &[Fixed]),
    Row("related", &[Fixed]),
    Row("reportingController", &[Fixed]),
    Row("reportingInstance", &[Fixed]),
];

/// What only the older form says.
const UNSET: Rule = Holds(|value, _, path, errors| {
    let says = match value {
        Value::Object(fields) => fields.values().any(|field| !is_unset(field)),
        Value::Number(number) => number.as_i64() != Some(0),
        other => !is_unset(other),
    };
    if says {
        errors.push(FieldError::invalid(path.clone(), "", "needs to be unset"));
    }
});

fn is_timed(event: &Value) -> bool {
    !is_unset(&event["eventTime"])
}

fn no_longer(text: &str, most: usize) -> Vec<String> {
    if text.len() > most { vec![format!("can have at most {most} characters")] } else { Vec::new() }
}

fn severity(text: &str) -> Vec<String> {
    if matches!(text, "Normal" | "Warning") { Vec::new() } else { vec![format!("has invalid value: {text}")] }
}

/// An Event is where its object is; those of objects without namespace are in one that every cluster has.
fn place(event: &Value, _: Option<&Value>, _: &Path, errors: &mut Vec<FieldError>) {
    let own = object::namespace(event);
    let of = object::str_at(event, &["involvedObject", "namespace"]);
    let fits = match (of.is_empty(), is_timed(event)) {
        (true, false) => matches!(own, "" | "default"),
        (true, true) => matches!(own, "default" | "kube-system"),
        (false, false) => own == of,
        (false, true) => true,
    };
    if !fits {
        let path = Path::new("involvedObject.namespace");
        errors.push(FieldError::invalid(path, of, "does not match event.namespace"));
    }
}
