//! One step of a field's path: a field name, a list element by its keys or its value, or an index.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::schema::{List, Node};

/// One step. Keys and values are held as canonical JSON, so that steps compare and sort as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// A field or a map's key.
    Field(Box<str>),
    /// A list element, by the values of its key fields.
    Key(Box<str>),
    /// An element of a set, by its value.
    Item(Box<str>),
    /// A list element, by its position.
    Index(i64),
}

impl Step {
    pub(super) fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// The step that leads to an element of a set.
    pub(super) fn item(value: &Value) -> Self {
        Self::Item(canonical(value).into())
    }

    /// The step that leads to an element of a list with key fields; missing keys take the schema's default.
    /// `None` when no key has a value.
    pub(super) fn keyed(list: &List, item: &Value) -> Option<Self> {
        let fields = item.as_object()?;
        let declared = list.items.node().object();
        let default = |key: &Arc<str>| declared?.field(key)?.default.as_deref();
        let mut keys = Map::new();
        for key in &list.keys {
            if let Some(value) = fields.get(key.as_ref()).filter(|v| !v.is_null()).or_else(|| default(key)) {
                keys.insert(key.to_string(), value.clone());
            }
        }
        (!keys.is_empty()).then(|| Self::Key(canonical(&Value::Object(keys)).into()))
    }

    /// Reads the form used in `fieldsV1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::field(rest)),
            "k" => {
                let value: Value = serde_json::from_str(rest).ok()?;
                value.is_object().then(|| Self::Key(canonical(&value).into()))
            }
            "v" => Some(Self::item(&serde_json::from_str(rest).ok()?)),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    /// The form used in `fieldsV1`.
    pub(super) fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Item(value) => format!("v:{value}"),
            Self::Index(i) => format!("i:{i}"),
        }
    }

    /// Whether the step names a field that `node` declares.
    pub(super) fn is_declared_in(&self, node: Option<&Node>) -> bool {
        match (self, node.and_then(Node::object)) {
            (Self::Field(name), Some(object)) => object.field(name).is_some(),
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", pairs.join(","))
            }
            Self::Item(value) => write!(f, "[={value}]"),
            Self::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// Compact JSON with sorted keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            let fields: Vec<String> =
                fields.iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_are_read_and_written() {
        for text in ["f:spec", "f:a:b", r#"k:{"a":1,"b":"x"}"#, r#"v:"x""#, "v:1", "i:3"] {
            assert_eq!(Step::parse(text).expect(text).encode(), text);
        }
        assert_eq!(Step::parse(r#"k:{"b":1, "a":2}"#).expect("reads").encode(), r#"k:{"a":2,"b":1}"#);
        for bad in ["", "x:1", "k:1", "k:{", "i:x", "v:"] {
            assert_eq!(Step::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn messages_show_paths_like_this() {
        let steps = [
            Step::field("a"),
            Step::parse(r#"k:{"name":"x","port":1}"#).expect("reads"),
            Step::item(&json!("s")),
            Step::Index(2),
        ];
        let shown: String = steps.iter().map(ToString::to_string).collect();
        assert_eq!(shown, r#".a[name="x",port=1][="s"][2]"#);
    }
}
