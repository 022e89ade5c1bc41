//! Threads that serve disks beside the main one.

use serde_json::{Value, json};

use super::builder::Builder;

pub(super) fn add(builder: &mut Builder<'_>, count: u32) {
    for number in 1..=count {
        builder.json("-object", json!({"qom-type": "iothread", "id": name(number)}));
    }
}

/// Returns the device property that names the threads of a disk, and its value.
pub(super) fn property(threads: &[u32]) -> Option<(&'static str, Value)> {
    match threads {
        [] => None,
        [one] => Some(("iothread", name(*one).into())),
        several => {
            let mapping: Vec<Value> = several.iter().map(|one| json!({"iothread": name(*one)})).collect();
            Some(("iothread-vq-mapping", mapping.into()))
        }
    }
}

fn name(number: u32) -> String {
    format!("io{number}")
}
