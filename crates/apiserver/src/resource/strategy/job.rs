//! Jobs and the schedules that make them.

use machinery::field::{FieldError, Path};
use serde_json::{Value, json};

use super::workload::default_template;
use super::{set_default, text};
use crate::resource::Call;

/// What a Job gets when it is made; the template of a CronJob stays as it is written.
pub(super) fn default_job(draft: &mut Value) {
    default_template(draft);
    super::workload::default_labels(draft);
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set_default(spec, "completions", 1);
    }
    for (name, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        set_default(spec, name, value);
    }
}

/// Checks what cannot be changed in a Job.
pub(super) fn validate_job(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        for (field, detail) in [
            ("completions", "can only be modified in tandem with spec.parallelism"),
            ("completionMode", "field is immutable"),
            ("podFailurePolicy", "field is immutable"),
            ("successPolicy", "field is immutable"),
            ("backoffLimitPerIndex", "field is immutable"),
            ("template", "field is immutable"),
            ("selector", "field is immutable"),
        ] {
            if old["spec"][field] != object["spec"][field] {
                errors.push(FieldError::invalid(
                    Path::new("spec").child(field),
                    object["spec"][field].clone(),
                    detail,
                ));
            }
        }
    }
    errors
}

/// Checks a CronJob's schedule.
pub(super) fn validate_cron_job(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let schedule = text(object, &["spec", "schedule"]);
    let path = Path::new("spec.schedule");
    if schedule.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    if is_schedule(schedule) {
        Vec::new()
    } else {
        vec![FieldError::invalid(
            path,
            schedule,
            "expected exactly 5 fields, as in \"0 3 * * 1\", or a word such as @daily",
        )]
    }
}

/// Whether a text is a cron schedule: five fields of numbers, names, lists, ranges and steps, or a word.
fn is_schedule(schedule: &str) -> bool {
    const WORDS: [&str; 7] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if WORDS.contains(&schedule) || schedule.starts_with("@every ") {
        return true;
    }
    let field = |field: &str| {
        !field.is_empty()
            && field.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '/' | ',' | '-' | '?'))
    };
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    fields.len() == 5 && fields.into_iter().all(field)
}
