//! Tables of what holds for the fields of built-in kinds.
//!
//! A row names a field and the rules for it. Its path is written as in errors, `spec.rules[].http?.paths[].pathType`: `[]` is
//! every item of a list, `{}` every value of a map, nothing the object itself, and `?` a field that may be left out: neither it
//! nor what is below it is judged then. Any other field counts as empty, nought or no entries where it is missing, as it is in typed clients.

mod autoscaling;
mod cluster;
mod device_slice;
mod devices;
mod event;
mod networking;
mod persistent;
mod pod;
mod quota;
mod service;
mod shape;
mod signing;
mod status;
mod storage;
mod volume;
mod workload;

use machinery::field::{FieldError, Path};
use machinery::quantity::Quantity;
use serde_json::Value;

pub(super) use autoscaling::default as default_autoscaler;
pub(super) use event::check as check_event;
pub(super) use networking::default_class;
pub(super) use pod::SPEC as POD_SPEC;
pub(super) use service::checked_locally;

/// A field and what holds for it. The first rule that is broken is told; another table leaves the rest to be judged.
pub(super) struct Row(&'static str, &'static [Rule]);

/// A judge of one value: the value, the one before an update, its path.
type Judge = fn(&Value, Option<&Value>, &Path, &mut Vec<FieldError>);

/// What holds for a field.
enum Rule {
    /// There is a value, and it is not empty.
    Required(&'static str),
    /// The text is one of these.
    Words(&'static [&'static str]),
    /// The number is not less.
    AtLeast(i64),
    /// The number is above nought.
    Positive,
    /// The number is in this range, ends included.
    Between(i64, i64),
    /// The text has no more bytes.
    Longest(usize),
    /// The text has a form.
    Name(fn(&str) -> Vec<String>),
    /// The amount is not below nought, or (strictly) above it.
    Amount { strictly: bool },
    /// An update leaves it as it is.
    Fixed,
    /// An update leaves it as it is; said in these words.
    Kept(&'static str),
    /// No two items of the list have the same text in this field.
    Unique(&'static str),
    /// The same, told of the item.
    UniqueItems(&'static str),
    /// The list has no more items.
    Most(usize),
    /// Anything else.
    Holds(Judge),
    /// The rows of another table, from here on.
    All(&'static [Row]),
}

/// Returns the table of a built-in kind.
pub(super) fn of(group: &str, plural: &str) -> &'static [Row] {
    match group {
        ""
        | "admissionregistration.k8s.io"
        | "scheduling.k8s.io"
        | "node.k8s.io"
        | "coordination.k8s.io"
        | "rbac.authorization.k8s.io" => cluster::rows(group, plural),
        "apps" | "batch" | "policy" => workload::rows(plural),
        "autoscaling" => autoscaling::ROWS,
        "networking.k8s.io" | "discovery.k8s.io" => networking::rows(plural),
        "storage.k8s.io" => storage::rows(plural),
        "resource.k8s.io" => devices::rows(plural),
        "certificates.k8s.io" => signing::ROWS,
        _ => &[],
    }
}

/// Returns the table of what the `status` subresource of a built-in kind may say.
pub(super) fn of_status(group: &str, plural: &str) -> &'static [Row] {
    status::rows(group, plural)
}

/// Holds an object against a table.
pub(super) fn check(rows: &[Row], object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    apply(rows, object, old, &Path::root(), &mut errors);
    errors
}

/// Holds what is at `path` against a table.
pub(super) fn apply(
    rows: &[Row],
    value: &Value,
    old: Option<&Value>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    for Row(at, rules) in rows {
        if at.is_empty() {
            judge(value, old, path, rules, errors);
            continue;
        }
        walk(value, old, at, path, rules, errors);
    }
}

/// Goes down the rest of a row's path.
fn walk(
    value: &Value,
    old: Option<&Value>,
    rest: &str,
    path: &Path,
    rules: &[Rule],
    errors: &mut Vec<FieldError>,
) {
    let (segment, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let go = |value: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>| {
        if rest.is_empty() {
            judge(value, old, path, rules, errors);
        } else {
            walk(value, old, rest, path, rules, errors);
        }
    };
    let name = segment.trim_end_matches(['[', ']', '{', '}', '?']);
    let (value, old, path) = (&value[name], old.map(|old| &old[name]), path.child(name));
    if segment.ends_with("[]") {
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            // Items have no identity that an update could be held against.
            go(item, None, &path.index(at), errors);
        }
    } else if segment.ends_with("{}") {
        for (key, item) in value.as_object().into_iter().flatten() {
            go(item, old.and_then(|old| old.get(key)), &path.key(key), errors);
        }
    } else if !(segment.ends_with('?') && is_unset(value)) {
        go(value, old, &path, errors);
    } else if rest.is_empty() && old.is_some_and(|old| !is_unset(old)) {
        // What is gone can only have been such as has to stay.
        for rule in rules.iter().filter(|rule| matches!(rule, Rule::Fixed | Rule::Kept(_))) {
            rule.judge(value, old, &path, errors);
        }
    }
}

fn judge(value: &Value, old: Option<&Value>, path: &Path, rules: &[Rule], errors: &mut Vec<FieldError>) {
    let before = errors.len();
    for rule in rules {
        rule.judge(value, old, path, errors);
        if errors.len() > before && !matches!(rule, Rule::All(_)) {
            return;
        }
    }
}

/// Whether a field says nothing: typed clients leave such values out.
fn is_unset(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Rule {
    fn judge(&self, value: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
        let text = value.as_str().unwrap_or_default();
        let number = value.as_i64().unwrap_or_default();
        let mut invalid = |shown: Value, detail: String| {
            errors.push(FieldError::invalid(path.clone(), shown, detail));
        };
        match self {
            Self::Required(detail) if is_empty(value) => {
                errors.push(FieldError::required(path.clone(), *detail));
            }
            Self::Words(words) if !words.contains(&text) => {
                errors.push(FieldError::not_supported(path.clone(), text, words.iter().copied()));
            }
            Self::AtLeast(least) if number < *least => {
                invalid(number.into(), format!("must be greater than or equal to {least}"));
            }
            Self::Positive if number <= 0 => invalid(number.into(), "must be greater than 0".to_owned()),
            Self::Between(least, most) if !(least..=most).contains(&&number) => {
                invalid(number.into(), format!("must be between {least} and {most}, inclusive"));
            }
            Self::Longest(most) if text.len() > *most => {
                errors.push(FieldError::too_long(path.clone(), *most));
            }
            Self::Name(wrong) => {
                for wrong in wrong(text) {
                    invalid(text.into(), wrong);
                }
            }
            Self::Amount { strictly } => {
                let zero = if *strictly { "zero" } else { "or equal to 0" };
                let wrong = |amount: &Quantity| amount.is_negative() || (*strictly && amount.is_zero());
                if Quantity::parse(text).is_ok_and(|amount| wrong(&amount)) {
                    invalid(text.into(), format!("must be greater than {zero}"));
                }
            }
            Self::Fixed if old.is_some_and(|old| old != value) => {
                invalid(value.clone(), "field is immutable".to_owned());
            }
            Self::Kept(detail) if old.is_some_and(|old| old != value) => {
                errors.push(FieldError::forbidden(path.clone(), *detail));
            }
            Self::Unique(field) => unique(value, field, |at| path.index(at).child(field), errors),
            Self::UniqueItems(field) => unique(value, field, |at| path.index(at), errors),
            Self::Most(most) => {
                let found = value.as_array().map_or(0, Vec::len);
                if found > *most {
                    errors.push(FieldError::too_many(path.clone(), found, *most));
                }
            }
            Self::Holds(judge) => judge(value, old, path, errors),
            Self::All(rows) => apply(rows, value, old, path, errors),
            Self::Required(_)
            | Self::Words(_)
            | Self::AtLeast(_)
            | Self::Positive
            | Self::Between(..)
            | Self::Longest(_)
            | Self::Fixed
            | Self::Kept(_) => {}
        }
    }
}

/// Tells of the items whose field has the text of an earlier one. A field without name is the item itself.
fn unique(list: &Value, field: &str, path: impl Fn(usize) -> Path, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for (at, item) in list.as_array().into_iter().flatten().enumerate() {
        let value = if field.is_empty() { item } else { &item[field] };
        if is_unset(value) {
            continue;
        }
        if seen.contains(&value) {
            errors.push(FieldError::duplicate(path(at), value.clone()));
        }
        seen.push(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &[Row] = &[
        Row("spec.name", &[Rule::Required("a name"), Rule::Name(machinery::names::dns_label)]),
        Row("spec.count", &[Rule::Positive]),
        Row("spec.mode?", &[Rule::Words(&["A", "B"]), Rule::Fixed]),
        Row("spec.parts", &[Rule::Unique("id"), Rule::Most(3)]),
        Row("spec.parts[].size?", &[Rule::Amount { strictly: true }]),
        Row("spec.limits{}", &[Rule::Amount { strictly: false }]),
        Row("spec.inner?.port", &[Rule::Between(1, 65_535)]),
    ];

    fn judged(object: &Value, old: Option<&Value>) -> Vec<String> {
        check(TABLE, object, old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_judge_what_their_path_means() {
        let good = json!({"spec": {"name": "a", "count": 1}});
        for (object, expected) in [
            (good.clone(), vec![]),
            // What is missing counts as empty or nought, but for what may be left out.
            (
                json!({}),
                vec![
                    "spec.name: Required value: a name",
                    "spec.count: Invalid value: 0: must be greater than 0",
                ],
            ),
            (
                json!({"spec": {"name": "a", "count": 1, "inner": {}}}),
                vec!["spec.inner.port: Invalid value: 0: must be between 1 and 65535, inclusive"],
            ),
            (
                json!({"spec": {"name": "a", "count": 1, "mode": "C", "limits": {"x": "-1"}}}),
                vec![
                    "spec.mode: Unsupported value: \"C\": supported values: \"A\", \"B\"",
                    "spec.limits[x]: Invalid value: \"-1\": must be greater than or equal to 0",
                ],
            ),
            (
                json!({"spec": {"name": "a", "count": 1, "parts": [{"id": "x", "size": "0"}, {"id": "x"}]}}),
                vec![
                    "spec.parts[1].id: Duplicate value: \"x\"",
                    "spec.parts[0].size: Invalid value: \"0\": must be greater than zero",
                ],
            ),
        ] {
            assert_eq!(judged(&object, None), expected, "{object}");
        }
    }

    #[test]
    fn what_is_fixed_neither_changes_nor_goes() {
        let old = json!({"spec": {"name": "a", "count": 1, "mode": "A"}});
        let with = |mode: Value| json!({"spec": {"name": "a", "count": 1, "mode": mode}});
        assert!(judged(&old, Some(&old)).is_empty());
        let changed = judged(&with(json!("B")), Some(&old));
        assert_eq!(changed, ["spec.mode: Invalid value: \"B\": field is immutable"]);
        let gone = judged(&with(Value::Null), Some(&old));
        assert_eq!(gone, ["spec.mode: Invalid value: null: field is immutable"]);
    }
}
