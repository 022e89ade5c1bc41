//! What requests consist of: selections, lists, patches, deletions.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Which objects to list or watch. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Only this namespace; empty means all.
    pub namespace: String,
    /// Label selector in its URL form.
    pub labels: String,
    /// Field selector in its URL form.
    pub fields: String,
}

/// A page of objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
pub struct List<K> {
    /// Revision and continuation.
    #[serde(default)]
    pub metadata: ListMeta,
    /// Objects; a list that is empty may be `null`.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub items: Vec<K>,
}

/// Metadata of a page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// Revision that the list shows.
    pub resource_version: String,
    /// Where the next page begins; empty on the last.
    #[serde(rename = "continue")]
    pub continue_token: String,
}

/// A change to an existing object.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// JSON merge patch. A `metadata.resourceVersion` inside makes it conditional.
    Merge(Value),
    /// Strategic merge patch (built-in kinds only).
    Strategic(Value),
    /// JSON patch: a list of operations.
    Json(Value),
    /// Server-side apply under this field manager's name.
    Apply {
        /// Field manager.
        manager: String,
        /// The fields that the manager wants.
        object: Value,
    },
}

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// How to delete. The default is unconditional, with the kind's own grace and propagation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Delete only the object with this identity.
    pub uid: Option<String>,
    /// Delete only this state of the object.
    pub resource_version: Option<String>,
    /// Seconds to end in; zero means at once.
    pub grace_seconds: Option<i64>,
    /// What happens to owned objects.
    pub propagation: Option<Propagation>,
}

impl Delete {
    /// Deletes only the object with identity `uid`.
    pub fn only(uid: impl Into<String>) -> Self {
        Self { uid: Some(uid.into()), ..Self::default() }
    }

    /// Returns the options as a request's body.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if self.uid.is_some() || self.resource_version.is_some() {
            let mut preconditions = json!({});
            if let Some(uid) = &self.uid {
                preconditions["uid"] = json!(uid);
            }
            if let Some(version) = &self.resource_version {
                preconditions["resourceVersion"] = json!(version);
            }
            body["preconditions"] = preconditions;
        }
        if let Some(seconds) = self.grace_seconds {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = json!(match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            });
        }
        body
    }
}

impl Select {
    /// Selects by labels.
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { labels: selector.into(), ..Self::default() }
    }

    /// Selects by fields.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { fields: selector.into(), ..Self::default() }
    }

    /// Narrows the selection to a namespace.
    #[must_use]
    pub fn within(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        [("labelSelector", &self.labels), ("fieldSelector", &self.fields)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.clone()))
            .collect()
    }
}

/// Encodes a query string. Everything outside the unreserved characters is escaped.
pub(crate) fn encode(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let hex = |digit: u8| char::from(b"0123456789ABCDEF"[usize::from(digit)]);
                text.extend(['%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    text
}

pub(crate) fn null_as_empty<'de, D, K>(deserializer: D) -> Result<Vec<K>, D::Error>
where
    D: serde::Deserializer<'de>,
    K: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            encode(&[("labelSelector", "a=b,c in (d)".to_owned())]),
            "labelSelector=a%3Db%2Cc%20in%20%28d%29"
        );
    }

    #[test]
    fn delete_options_carry_only_what_was_asked_for() {
        assert_eq!(Delete::default().body(), json!({"apiVersion": "v1", "kind": "DeleteOptions"}));
        let how = Delete { propagation: Some(Propagation::Orphan), ..Delete::only("u") };
        assert_eq!(how.body()["preconditions"], json!({"uid": "u"}));
        assert_eq!(how.body()["propagationPolicy"], "Orphan");
    }
}
