//! Objects in Kubernetes' protobuf form. Typed Go clients, parts of kubectl among them, send nothing else and prefer it
//! in answers.
//!
//! An object is an envelope with apiVersion, kind and the message. Which field of a message has which number is a fact
//! (`facts/protobuf.tsv`); everything else is one decoder that yields the same JSON value as the text forms do, and one
//! encoder that writes what the real server writes, byte for byte.

mod encode;
mod facts;
mod message;
pub(crate) mod wire;

use serde_json::Value;

use facts::Message;
use wire::Reader;

/// The media type of requests and answers in this form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Its part after the slash.
pub(crate) const MEDIA_SUBTYPE: &str = "vnd.kubernetes.protobuf";

/// The media type of watches in this form.
pub(crate) const STREAM_MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The message of a schema in a CustomResourceDefinition.
const SCHEMA: &str = "apiextensions.v1.JSONSchemaProps";

/// Why a body is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It does not begin as it should.
    #[error("it does not begin with the four bytes that mark a Kubernetes object")]
    Magic,
    /// It ends too early, or a number or text in it is malformed.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// The kind has no known message; it can be sent as JSON.
    #[error("the protobuf form of {kind} in {api_version} is not known here; send JSON")]
    UnknownKind {
        /// The version that it names.
        api_version: String,
        /// The kind that it names.
        kind: String,
    },
}

/// Reads an object.
///
/// # Errors
/// Fails when the body is not well formed, or of a kind that is not known in this form.
pub fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(envelope);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => {
                let mut names = Reader::new(field.bytes()?);
                while let Some(name) = names.next()? {
                    match name.number {
                        1 => name.text()?.clone_into(&mut api_version),
                        2 => name.text()?.clone_into(&mut kind),
                        _ => {}
                    }
                }
            }
            2 => raw = field.bytes()?,
            _ => {}
        }
    }
    let unknown = || DecodeError::UnknownKind { api_version: api_version.clone(), kind: kind.clone() };
    let message = message_of(&api_version, &kind).ok_or_else(unknown)?;
    let mut object = message::decode(message.name, raw, 0)?;
    if let Some(fields) = object.as_object_mut() {
        fields.shift_insert(0, "apiVersion".to_owned(), api_version.into());
        fields.shift_insert(1, "kind".to_owned(), kind.into());
    }
    Ok(object)
}

/// Writes an object; nothing when its kind has no protobuf form.
pub fn encode(object: &Value) -> Option<Vec<u8>> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let message = message_of(api_version, kind)?;
    let mut out = MAGIC.to_vec();
    wire::put_field(&mut out, 1, |out| {
        wire::put_bytes(out, 1, api_version.as_bytes());
        wire::put_bytes(out, 2, kind.as_bytes());
    });
    wire::put_field(&mut out, 2, |out| encode::message(out, message, object));
    // Encoding and media type of what is inside: the usual ones.
    wire::put_bytes(&mut out, 3, b"");
    wire::put_bytes(&mut out, 4, b"");
    Some(out)
}

/// Writes an event of a watch: its length in four bytes, then what happened and the object, which is an envelope.
pub(crate) fn event(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    wire::put_bytes(&mut out, 1, kind.as_bytes());
    wire::put_field(&mut out, 2, |out| wire::put_bytes(out, 1, object));
    // An object is far below four gibibytes: the store takes none that large.
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// Groups whose objects have a protobuf form, and the name of theirs in the facts.
const PACKAGES: [(&str, &str); 23] = [
    ("", "core"),
    ("admissionregistration.k8s.io", "admissionregistration"),
    ("apidiscovery.k8s.io", "apidiscovery"),
    ("apiextensions.k8s.io", "apiextensions"),
    ("apiregistration.k8s.io", "apiregistration"),
    ("apps", "apps"),
    ("authentication.k8s.io", "authentication"),
    ("authorization.k8s.io", "authorization"),
    ("autoscaling", "autoscaling"),
    ("batch", "batch"),
    ("certificates.k8s.io", "certificates"),
    ("coordination.k8s.io", "coordination"),
    ("discovery.k8s.io", "discovery"),
    ("events.k8s.io", "events"),
    ("flowcontrol.apiserver.k8s.io", "flowcontrol"),
    ("networking.k8s.io", "networking"),
    ("node.k8s.io", "node"),
    ("policy", "policy"),
    ("rbac.authorization.k8s.io", "rbac"),
    ("resource.k8s.io", "resource"),
    ("scheduling.k8s.io", "scheduling"),
    ("storage.k8s.io", "storage"),
    ("meta.k8s.io", "meta"),
];

/// The message of a kind. Options of the meta group may name any group's version.
fn message_of(api_version: &str, kind: &str) -> Option<&'static Message> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let package = PACKAGES.iter().find(|(name, _)| *name == group).map(|(_, package)| package);
    let own = package.and_then(|package| facts::message(&format!("{package}.{version}.{kind}")));
    own.or_else(|| facts::message(&format!("meta.v1.{kind}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::facts::{Base, Shape};
    use super::*;

    /// Writes a field that holds bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let names = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &names), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn objects_read_as_their_json_does() {
        let metadata = [field(1, b"s"), field(2, b""), field(7, b"")[..0].to_vec(), field(8, b"")].concat();
        let entry = [field(1, b"key"), field(2, b"value")].concat();
        let secret = [field(1, &metadata), field(2, &entry), field(3, b"Opaque"), vec![5 << 3, 0]].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "dmFsdWU="},
            "type": "Opaque", "immutable": false,
        });
        assert_eq!(decode(&envelope("v1", "Secret", &secret)), Ok(expected));
    }

    #[test]
    fn special_types_have_their_own_forms() {
        let limit = [field(1, b"cpu"), field(2, &field(1, b"500m"))].concat();
        let probe_port = field(2, &[vec![1 << 3, 1], vec![2 << 3, 0], field(3, b"http")].concat());
        let probe = field(1, &field(2, &[field(1, b"/"), probe_port].concat()));
        let container = [field(1, b"c"), field(8, &field(1, &limit)), field(10, &probe)].concat();
        let source = field(2, &field(2, b""));
        let volume = field(1, &[field(1, b"v"), source].concat());
        let spec = [volume, field(2, &container), vec![4 << 3, 0], vec![11 << 3, 0]].concat();
        let pod = decode(&envelope("v1", "Pod", &field(2, &spec))).expect("a Pod");
        assert_eq!(
            pod["spec"],
            json!({
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}}}],
                "terminationGracePeriodSeconds": 0,
            })
        );
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let good = envelope("v1", "ConfigMap", &field(1, &field(1, b"c")));
        assert!(decode(&good).is_ok());
        for end in 0..good.len() {
            // A cut may leave a shorter message that is whole; it must not be read past its end.
            let _ = decode(&good[..end]);
        }
        assert_eq!(decode(b"{}"), Err(DecodeError::Magic));
        assert!(matches!(decode(&envelope("v1", "Nothing", b"")), Err(DecodeError::UnknownKind { .. })));
        assert!(decode(&envelope("v1", "ConfigMap", &[0x0a, 0x7f, 1])).is_err());
        let options = envelope("policy/v1", "DeleteOptions", &[1 << 3, 5]);
        assert_eq!(decode(&options).expect("options")["gracePeriodSeconds"], 5);
    }

    /// An object that has every field of its message, down to a depth; no two values of a kind are alike.
    fn filled(message: &facts::Message, depth: usize, count: &mut i64) -> Value {
        let mut object = serde_json::Map::new();
        for field in &message.fields {
            let mut one = || value_of(field.base, depth, count);
            let value = match field.shape {
                Shape::One => one(),
                Shape::List => json!([one(), one()]),
                Shape::Map => json!({"b": one(), "a": one(), "c/d": one()}),
                Shape::Inline => {
                    if let Value::Object(inner) = one() {
                        object.extend(inner);
                    }
                    continue;
                }
            };
            object.insert(field.name.to_owned(), value);
        }
        Value::Object(object)
    }

    fn value_of(base: Base, depth: usize, count: &mut i64) -> Value {
        *count += 1;
        let count_now = *count;
        let schema = |count: &mut i64| {
            let message = facts::message(SCHEMA).expect("a schema");
            if depth > 2 { json!({"type": "string"}) } else { filled(message, depth + 1, count) }
        };
        match base {
            Base::Text => format!("text {count_now}").into(),
            Base::Bool => true.into(),
            Base::Integer if count_now % 7 == 0 => (-count_now).into(),
            Base::Integer => count_now.into(),
            Base::Double => (count_now as f64 + 0.5).into(),
            Base::Bytes => STANDARD.encode(count_now.to_be_bytes()).into(),
            Base::Quantity => ["1", "500m", "3Gi", "2k"][count_now as usize % 4].into(),
            Base::IntOrString if count_now % 2 == 0 => count_now.into(),
            Base::IntOrString => format!("{}%", count_now % 100).into(),
            Base::Time => format!("2026-01-02T03:04:{:02}Z", count_now % 60).into(),
            Base::MicroTime => format!("2026-01-02T03:04:05.{:06}Z", count_now % 1_000_000).into(),
            Base::Json => json!({"f:b": {}, "f:a": {".": {}}, "n": count_now}),
            Base::Items => json!([format!("item {count_now}"), ""]),
            Base::SchemaOrBool if count_now % 2 == 0 => (count_now % 4 == 0).into(),
            Base::SchemaOrList if count_now % 2 == 0 => json!([{"type": "string"}, {"type": "array"}]),
            Base::SchemaOrTexts if count_now % 2 == 0 => json!(["a", "b"]),
            Base::SchemaOrBool | Base::SchemaOrList | Base::SchemaOrTexts | Base::Message(SCHEMA) => {
                schema(count)
            }
            Base::Message(name) if depth < 30 => {
                filled(facts::message(name).expect("a known message"), depth + 1, count)
            }
            Base::Message(_) => json!({}),
        }
    }

    /// Every kind that can stand in an envelope, with each of its fields.
    fn filled_kinds() -> Vec<Value> {
        let mut kinds = Vec::new();
        for message in facts::all() {
            let (package, kind) = message.name.rsplit_once('.').expect("package and kind");
            let (package, version) = package.split_once('.').expect("package and version");
            let is_kind = message.fields.iter().any(|field| field.name == "metadata" && field.number == 1);
            let (group, _) = PACKAGES.iter().find(|(_, known)| *known == package).expect("a known package");
            if !is_kind || kind.ends_with("Spec") || kind == "PersistentVolumeClaimTemplate" {
                continue;
            }
            let mut object =
                json!({"apiVersion": format!("{group}/{version}").trim_start_matches('/'), "kind": kind});
            let mut count = 0;
            if let (Some(fields), Value::Object(filled)) =
                (object.as_object_mut(), filled(message, 0, &mut count))
            {
                fields.extend(filled);
            }
            kinds.push(object);
        }
        kinds
    }

    #[test]
    fn what_is_written_reads_back() {
        let kinds = filled_kinds();
        assert!(kinds.len() > 130, "{}", kinds.len());
        for object in kinds {
            let message = encode(&object).expect("a protobuf form");
            assert_eq!(decode(&message).as_ref(), Ok(&object), "{} {}", object["apiVersion"], object["kind"]);
        }
    }

    /// Digests of what Kubernetes' own Go library writes for the same objects, each field of each kind filled. Kinds
    /// with Pods are missing: the library that wrote them lacks a field of the version that is served here.
    const DIGESTS: &str = include_str!("golden/digests.tsv");

    #[test]
    fn every_field_is_written_as_kubernetes_writes_it() {
        let kinds = filled_kinds();
        let mut checked = 0;
        for line in DIGESTS.lines() {
            let [api_version, kind, digest] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let object =
                kinds.iter().find(|object| object["apiVersion"] == api_version && object["kind"] == kind);
            let message = encode(object.expect("the kind")).expect("a protobuf form");
            assert_eq!(hex::encode(Sha256::digest(&message)), digest, "{api_version} {kind}");
            checked += 1;
        }
        assert!(checked > 100, "{checked}");
    }

    /// A Pod, and its event in a watch, as kube-apiserver answered them in both forms.
    #[test]
    fn recorded_answers_are_written_alike() {
        let pod: Value = serde_json::from_slice(include_bytes!("golden/pod.json")).expect("JSON");
        let recorded = include_bytes!("golden/pod.pb");
        assert!(encode(&pod).as_deref() == Some(&recorded[..]), "a Pod is written differently");
        let read = decode(recorded).expect("a Pod");
        assert!(encode(&read).as_deref() == Some(&recorded[..]), "a Pod is read differently");
        let line: Value = serde_json::from_slice(include_bytes!("golden/watch.json")).expect("JSON");
        let object = encode(&line["object"]).expect("a protobuf form");
        let frame = event(line["type"].as_str().expect("text"), &object);
        assert!(frame == include_bytes!("golden/watch.pb"), "an event is written differently");
    }

    #[test]
    fn every_message_that_a_field_names_is_known() {
        for message in facts::all() {
            for field in &message.fields {
                if let Base::Message(name) = field.base {
                    assert!(facts::message(name).is_some(), "{}: {name}", message.name);
                }
            }
        }
    }
}
