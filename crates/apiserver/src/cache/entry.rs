//! One version of one object, as the cache holds it: shared bytes and the few fields that selectors need.

use std::sync::{Arc, LazyLock};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

/// Namespace and name. The namespace of cluster-scoped objects is empty.
///
/// Keys are ordered as the store orders them: as bytes of `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Object name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Names an object.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.namespace == other.namespace {
            return self.name.cmp(&other.name);
        }
        fn bytes(key: &ObjectKey) -> impl Iterator<Item = u8> {
            key.namespace.bytes().chain([b'/']).chain(key.name.bytes())
        }
        bytes(self).cmp(bytes(other))
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Fields that selectors look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Labels, in the object's order.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the collection's selectable fields, in the order in which the collection lists them.
    pub fields: Box<[Box<str>]>,
}

impl Facets {
    /// Reads the labels and the values at `paths` (dotted, without leading dot) of an object.
    pub fn of(object: &Value, paths: &[Box<str>]) -> Self {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        Self {
            labels: labels
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.as_str().into(), value.as_str().unwrap_or_default().into()))
                .collect(),
            fields: paths.iter().map(|path| field(object, path)).collect(),
        }
    }

    /// Shares these. Most objects have none, and all of those share one.
    pub fn share(self) -> Arc<Self> {
        static NONE: LazyLock<Arc<Facets>> = LazyLock::new(Arc::default);
        if self == Self::default() { Arc::clone(&NONE) } else { Arc::new(self) }
    }

    /// Returns the value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(other, _)| **other == *key).map(|(_, value)| &**value)
    }
}

/// Reads the value at a dotted path in the form in which field selectors compare it; absent is empty.
pub fn field(object: &Value, path: &str) -> Box<str> {
    let mut at = object;
    for part in path.split('.') {
        match at.get(part) {
            Some(next) => at = next,
            None => return "".into(),
        }
    }
    match at {
        Value::String(text) => text.as_str().into(),
        Value::Bool(_) | Value::Number(_) => at.to_string().into(),
        _ => "".into(),
    }
}

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Revision of the write that made this version; the object's resourceVersion.
    pub revision: u64,
    /// The object as JSON in its storage version, resourceVersion included. It starts with `{"apiVersion":`.
    pub bytes: Bytes,
    /// What selectors look at.
    pub facets: Arc<Facets>,
    /// The object in the form that it was written in, where a schema that changed since shows it in another.
    pub written: Option<Box<Bytes>>,
}

impl Entry {
    /// Makes the entry of stored bytes, which lack the resourceVersion.
    pub fn new(key: ObjectKey, revision: u64, stored: &[u8], facets: Arc<Facets>) -> Self {
        Self { key, revision, bytes: with_revision(stored, revision), facets, written: None }
    }

    /// Parses the object.
    ///
    /// # Errors
    /// Fails when the bytes are not JSON, which means that the store was damaged.
    pub fn parse(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }

    /// Parses the object as it was written, whatever form it is shown in.
    ///
    /// # Errors
    /// Fails when the bytes are not JSON, which means that the store was damaged.
    pub fn parse_written(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(self.written.as_deref().unwrap_or(&self.bytes))
    }

    /// Returns this version of the object in another form. How it was written stays known: the next form comes from there,
    /// so that what one schema hides is there again with the next.
    #[must_use]
    pub fn in_form(&self, object: &Value, facets: Arc<Facets>) -> Self {
        let written = self.written.as_deref().unwrap_or(&self.bytes);
        let shown = Self::new(self.key.clone(), self.revision, &super::stored_bytes(object), facets);
        let written = (shown.bytes != written).then(|| Box::new(written.clone()));
        Self { written, ..shown }
    }

    /// Whether the object is in the version `api_version`.
    pub fn is_in(&self, api_version: &str) -> bool {
        let version = self
            .bytes
            .strip_prefix(b"{\"apiVersion\":\"")
            .and_then(|rest| rest.strip_prefix(api_version.as_bytes()));
        version.is_some_and(|rest| rest.starts_with(b"\""))
    }

    /// Returns the same object as another version would have it, for versions that differ in `apiVersion` only.
    pub fn bytes_as(&self, api_version: &str) -> Bytes {
        replace_api_version(&self.bytes, api_version)
    }

    /// Returns this object at a later revision, as the final state that a deletion reports.
    #[must_use]
    pub fn at_revision(&self, revision: u64) -> Self {
        let stored = without_revision(&self.bytes);
        Self::new(self.key.clone(), revision, &stored, Arc::clone(&self.facets))
    }
}

const METADATA: &[u8] = b"\"metadata\":{";
const REVISION: &[u8] = b"\"resourceVersion\":\"";

/// Finds the end of the first `"metadata":{`. Objects are written with apiVersion and kind before metadata, and
/// neither can hold that text, so the first match is the object's own.
fn metadata_at(bytes: &[u8]) -> Option<usize> {
    let head = &bytes[..bytes.len().min(1024)];
    head.windows(METADATA.len()).position(|window| window == METADATA).map(|at| at + METADATA.len())
}

/// Inserts the resourceVersion as the first field of metadata.
fn with_revision(stored: &[u8], revision: u64) -> Bytes {
    let Some(at) = metadata_at(stored) else { return Bytes::copy_from_slice(stored) };
    let revision = revision.to_string();
    let end: &[u8] = if stored.get(at) == Some(&b'}') { b"\"" } else { b"\"," };
    // Just what is needed: this is kept for as long as the object is.
    [&stored[..at], REVISION, revision.as_bytes(), end, &stored[at..]].concat().into()
}

/// Removes what [`with_revision`] inserted.
pub fn without_revision(bytes: &[u8]) -> Vec<u8> {
    let Some(at) = metadata_at(bytes).filter(|at| bytes[*at..].starts_with(REVISION)) else {
        return bytes.to_vec();
    };
    let digits = at + REVISION.len();
    let Some(close) = bytes[digits..].iter().position(|byte| *byte == b'"') else { return bytes.to_vec() };
    let mut end = digits + close + 1;
    if bytes.get(end) == Some(&b',') {
        end += 1;
    }
    [&bytes[..at], &bytes[end..]].concat()
}

fn replace_api_version(bytes: &Bytes, api_version: &str) -> Bytes {
    const HEAD: &[u8] = b"{\"apiVersion\":\"";
    let Some(rest) = bytes.strip_prefix(HEAD) else { return bytes.clone() };
    let Some(end) = rest.iter().position(|byte| *byte == b'"') else { return bytes.clone() };
    if &rest[..end] == api_version.as_bytes() {
        return bytes.clone();
    }
    let mut out = BytesMut::with_capacity(bytes.len() + api_version.len());
    out.put_slice(HEAD);
    out.put_slice(api_version.as_bytes());
    out.put_slice(&rest[end..]);
    out.freeze()
}

/// Writes an object as the store keeps it: compact, apiVersion, kind and metadata first, no resourceVersion.
pub fn stored_bytes(object: &Value) -> Vec<u8> {
    serde_json::to_vec(&Stored(object)).unwrap_or_default()
}

/// An object in the order in which it is stored.
struct Stored<'a>(&'a Value);

/// Metadata without the resourceVersion, which is a fact of storage.
struct Metadata<'a>(&'a Map<String, Value>);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];
        let mut map = serializer.serialize_map(None)?;
        let fields = self.0.as_object();
        for name in FIRST {
            match fields.and_then(|fields| fields.get(name)) {
                Some(Value::Object(metadata)) if name == "metadata" => {
                    map.serialize_entry(name, &Metadata(metadata))?;
                }
                Some(value) => map.serialize_entry(name, value)?,
                None => {}
            }
        }
        for (name, value) in fields.into_iter().flatten().filter(|(name, _)| !FIRST.contains(&name.as_str()))
        {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|(name, _)| *name != "resourceVersion"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn revisions_are_spliced_in_and_out() {
        let object = json!({"kind": "A", "data": {"metadata": {}}, "metadata": {"resourceVersion": "3", "name": "x"}, "apiVersion": "v1"});
        let stored = stored_bytes(&object);
        assert!(stored.starts_with(br#"{"apiVersion":"v1","kind":"A","metadata":{"name":"x"}"#));
        let entry = Entry::new(ObjectKey::new("", "x"), 17, &stored, Arc::default());
        assert_eq!(entry.parse().expect("JSON")["metadata"], json!({"resourceVersion": "17", "name": "x"}));
        assert_eq!(without_revision(&entry.bytes), stored);
        assert_eq!(entry.at_revision(18).parse().expect("JSON")["metadata"]["resourceVersion"], "18");
        let other = entry.bytes_as("example.test/v2");
        assert!(other.starts_with(br#"{"apiVersion":"example.test/v2","kind":"A""#));
    }

    #[test]
    fn facets_hold_labels_and_fields() {
        let object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "n", "on": true}});
        let facets = Facets::of(&object, &["spec.nodeName".into(), "spec.on".into(), "status.phase".into()]);
        assert_eq!(facets.label("a"), Some("b"));
        assert_eq!(&*facets.fields, ["n".into(), "true".into(), Box::<str>::from("")]);
    }
}
