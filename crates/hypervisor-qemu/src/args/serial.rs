//! The serial console.

use serde_json::json;

use super::builder::Builder;
use crate::SERIAL_CHANNEL;

/// The other end is the supervisor's, which always reads: a full channel would stall the guest.
pub(super) fn add(builder: &mut Builder<'_>, serial: bool) {
    if serial {
        let number = builder.channel(SERIAL_CHANNEL);
        builder.option("-chardev", format!("socket,id=serial0,fd={number}"));
        builder.json(
            "-device",
            json!({"driver": "isa-serial", "id": "serial0", "chardev": "serial0", "index": 0}),
        );
    }
}
