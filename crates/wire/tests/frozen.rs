//! What earlier releases speak stays understood: launchers outlive upgrades of their agents.
//!
//! The files in `frozen/` are copies of what a release spoke. They are added to and never changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::collections::BTreeMap;

use wire::machine::MachineRecord;

#[test]
fn a_record_of_version_1_is_read_and_written_as_it_was() {
    let frozen = include_str!("frozen/record-v1.json");
    let record: MachineRecord = serde_json::from_str(frozen).unwrap();
    let written = serde_json::to_string_pretty(&record).unwrap();
    assert_eq!(written, frozen.trim_end());
}

/// Every field of every message as `number type`, every value of every enum, every call of every service.
fn contents(file: &str, directory: &str) -> BTreeMap<String, String> {
    let set = protox::compile([file], [directory]).unwrap();
    let mut contents = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            for field in &message.field {
                let kind = format!("{:?} {:?} {}", field.label(), field.r#type(), field.type_name());
                contents.insert(
                    format!("{}.{}", message.name(), field.name()),
                    format!("{} {kind}", field.number()),
                );
            }
            for values in &message.enum_type {
                for value in &values.value {
                    let name = format!("{}.{}.{}", message.name(), values.name(), value.name());
                    contents.insert(name, value.number().to_string());
                }
            }
        }
        for service in &file.service {
            for call in &service.method {
                let kind =
                    format!("{} -> {} {}", call.input_type(), call.output_type(), call.server_streaming());
                contents.insert(format!("{}.{}", service.name(), call.name()), kind);
            }
        }
    }
    contents
}

#[test]
fn version_1_of_the_protocol_is_a_part_of_the_present_one() {
    let root = env!("CARGO_MANIFEST_DIR");
    let frozen = contents("launcher-v1.proto", &format!("{root}/tests/frozen"));
    let present = contents("launcher.proto", &format!("{root}/proto"));
    assert!(frozen.len() > 50, "{frozen:?}");
    for (name, kind) in &frozen {
        assert_eq!(present.get(name), Some(kind), "{name} has changed or is gone");
    }
}
