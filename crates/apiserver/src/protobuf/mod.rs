//! Reading objects in Kubernetes' protobuf form. Typed Go clients, parts of kubectl among them, send nothing else.
//!
//! An object is an envelope with apiVersion, kind and the message. Which field of a message has which number is a fact
//! (`facts/protobuf.tsv`); everything else is one decoder that yields the same JSON value as the text forms do.
//! Answers are always JSON, which these clients accept.

mod facts;
mod message;
mod wire;

use serde_json::Value;

use wire::Reader;

/// The media type of requests in this form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

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
    let name = message_name(&api_version, &kind).ok_or_else(unknown)?;
    let mut object = message::decode(name, raw, 0)?;
    if let Some(fields) = object.as_object_mut() {
        fields.shift_insert(0, "apiVersion".to_owned(), api_version.into());
        fields.shift_insert(1, "kind".to_owned(), kind.into());
    }
    Ok(object)
}

/// Writes a field that holds bytes, a text or a message.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

/// The message of a kind. Options of the meta group may name any group's version.
fn message_name(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
    let own = facts::message(&format!("{package}.{version}.{kind}"));
    own.or_else(|| facts::message(&format!("meta.v1.{kind}"))).map(|message| message.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::facts::Base;
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
