//! Field paths and field errors: which field of an object is wrong, why, and what it held.

use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// Where in an object a field stands, written as `spec.containers[0].name` or `metadata.labels[a/b]`.
///
/// Paths are built while walking down; `child` and the like return a longer path and leave the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path from its written form.
    pub fn new(written: impl Into<String>) -> Self {
        Self(written.into())
    }

    /// The field `name` below this path.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The list element `index` below this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The value breaks a rule.
    Invalid,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The field must be set and is not.
    Required,
    /// The value occurs twice where it may occur once.
    Duplicate,
    /// The value is not one of the allowed ones.
    NotSupported,
    /// The field must not be set here.
    Forbidden,
    /// The value is longer than allowed.
    TooLong,
    /// The list has more items than allowed.
    TooMany,
    /// What the value names does not exist.
    NotFound,
    /// The check itself failed.
    Internal,
}

impl Problem {
    /// The reason that a Status cause carries for this problem.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One wrong field: path, problem, the value found there, and the rule in words.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Where.
    pub path: Path,
    /// What kind of problem.
    pub problem: Problem,
    /// The value found; null where there is none to show.
    pub value: Value,
    /// The rule and the remedy, without path or value.
    pub detail: String,
    /// Whether messages leave the value out.
    pub reticent: bool,
}

impl FieldError {
    /// Any problem.
    pub fn new(path: Path, problem: Problem, value: Value, detail: impl Into<String>) -> Self {
        Self { path, problem, value, detail: detail.into(), reticent: false }
    }

    /// The same without the value in its message.
    #[must_use]
    pub fn without_value(self) -> Self {
        Self { reticent: true, ..self }
    }

    /// The value breaks the rule `detail`.
    pub fn invalid(path: Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(path, Problem::Invalid, value.into(), detail)
    }

    /// The value has the wrong JSON type.
    pub fn type_invalid(path: Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(path, Problem::TypeInvalid, value.into(), detail)
    }

    /// The field is missing.
    pub fn required(path: Path, detail: impl Into<String>) -> Self {
        Self::new(path, Problem::Required, Value::Null, detail)
    }

    /// The value occurs twice.
    pub fn duplicate(path: Path, value: impl Into<Value>) -> Self {
        Self::new(path, Problem::Duplicate, value.into(), "")
    }

    /// The value is not one of `supported`.
    pub fn not_supported<'a>(
        path: Path,
        value: impl Into<Value>,
        supported: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut list: Vec<String> = supported.into_iter().map(|s| format!("{s:?}")).collect();
        list.sort();
        let detail = format!("supported values: {}", list.join(", "));
        Self::new(path, Problem::NotSupported, value.into(), detail)
    }

    /// The field must not be set, or not be changed.
    pub fn forbidden(path: Path, detail: impl Into<String>) -> Self {
        Self::new(path, Problem::Forbidden, Value::Null, detail)
    }

    /// The value has more than `max` bytes.
    pub fn too_long(path: Path, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(path, Problem::TooLong, Value::Null, format!("may not be more than {max} {unit}"))
    }

    /// The list has `found` items, more than `max`.
    pub fn too_many(path: Path, found: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(path, Problem::TooMany, Value::from(found), format!("must have at most {max} {unit}"))
    }

    /// What the value names does not exist.
    pub fn not_found(path: Path, value: impl Into<Value>) -> Self {
        Self::new(path, Problem::NotFound, value.into(), "")
    }

    /// The text without the path, as a cause carries it.
    pub fn message(&self) -> String {
        let mut text = self.problem.title().to_owned();
        if self.problem.shows_value() && !self.reticent {
            text.push_str(": ");
            text.push_str(&shown(&self.value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The Status cause for this error.
    pub fn cause(&self) -> Cause {
        Cause {
            reason: self.problem.reason().to_owned(),
            message: self.message(),
            field: self.path.to_string(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}

/// A value as an error shows it: strings quoted, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => format!("{s:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_like_the_manifests_fields() {
        let path = Path::root().child("spec").child("containers").index(2).child("name");
        assert_eq!(path.as_str(), "spec.containers[2].name");
        assert_eq!(Path::new("metadata.labels").key("a/b").as_str(), "metadata.labels[a/b]");
        assert_eq!(Path::root().to_string(), "<nil>");
    }

    #[test]
    fn messages_name_problem_value_and_rule() {
        let at = || Path::new("spec.x");
        let cases = [
            (FieldError::required(at(), ""), "spec.x: Required value"),
            (FieldError::invalid(at(), "a", "must be b"), "spec.x: Invalid value: \"a\": must be b"),
            (FieldError::invalid(at(), 5, "too big"), "spec.x: Invalid value: 5: too big"),
            (FieldError::duplicate(at(), "a"), "spec.x: Duplicate value: \"a\""),
            (
                FieldError::not_supported(at(), "q", ["b", "a"]),
                "spec.x: Unsupported value: \"q\": supported values: \"a\", \"b\"",
            ),
            (FieldError::too_long(at(), 63), "spec.x: Too long: may not be more than 63 bytes"),
            (FieldError::too_many(at(), 3, 2), "spec.x: Too many: 3: must have at most 2 items"),
            (FieldError::forbidden(at(), "not here"), "spec.x: Forbidden: not here"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
