//! Bodies in JSON, YAML and protobuf: what is read comes out again as it went in, in each of the three.
//!
//! The first byte of an input chooses the form.

#![no_main]

use apiserver::resource::decode;
use apiserver::{body, protobuf};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn written(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value is written")
}

fn check_json(bytes: &[u8]) {
    let ours = decode::json(bytes).ok();
    let theirs = serde_json::from_slice::<Value>(bytes).ok();
    if let Some(decoded) = ours {
        assert_eq!(Some(&decoded.value), theirs.as_ref(), "read otherwise than by serde_json");
        let again = decode::json(&written(&decoded.value)).expect("what is written is read");
        assert_eq!(again.value, decoded.value);
        assert!(again.duplicates.is_empty(), "{:?}", again.duplicates);
        check_yaml_of(&decoded.value);
    }
}

/// What is shown as YAML is read back as the same.
fn check_yaml_of(value: &Value) {
    if value.is_object() {
        let text = body::yaml(value);
        let read =
            decode::yaml(text.as_bytes()).unwrap_or_else(|refusal| panic!("{}: {text}", refusal.message));
        assert_eq!(&read.value, value, "{text}");
    }
}

fn check_yaml(bytes: &[u8]) {
    if let Ok(decoded) = decode::yaml(bytes) {
        let again = decode::json(&written(&decoded.value)).expect("what is written is read");
        assert_eq!(again.value, decoded.value);
        check_yaml_of(&decoded.value);
    }
}

fn check_protobuf(bytes: &[u8]) {
    let Ok(object) = protobuf::decode(bytes) else { return };
    let json = decode::json(&written(&object)).expect("what is written is read");
    assert_eq!(json.value, object, "the object has no form in JSON");
    let message = protobuf::encode(&object).expect("what was read has a form");
    let again = protobuf::decode(&message).expect("what is written is read");
    assert!(holds(&again, &object), "{object} comes back as {again}");
    assert_eq!(
        protobuf::encode(&again).as_ref(),
        Some(&message),
        "{again} is written as another message than {object}"
    );
}

/// Whether everything in `object` is in `written`, which also has what a message always has, and where null is nothing.
fn holds(written: &Value, object: &Value) -> bool {
    match (written, object) {
        (_, Value::Null) => true,
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(name, want)| holds(have.get(name).unwrap_or(&Value::Null), want))
        }
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| holds(have, want))
        }
        (have, want) => have == want,
    }
}

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((b'{', _)) => check_json(input),
        Some((b'p', message)) => check_protobuf(message),
        Some((b'y', text)) => check_yaml(text),
        Some((_, rest)) => check_json(rest),
        None => {}
    }
});
