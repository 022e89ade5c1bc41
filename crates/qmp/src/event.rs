//! Events as QEMU tells them.

use serde::Deserialize;

/// Something that happened, unprompted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// QEMU's name for it, for example `SHUTDOWN`.
    #[serde(rename = "event")]
    pub name: String,
    /// Its data; null for an event without any.
    #[serde(default)]
    pub data: serde_json::Value,
    /// When it happened.
    #[serde(default)]
    pub timestamp: Timestamp,
}

impl Event {
    /// Returns a text of the event's data, empty if it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.data.get(field).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    /// Returns a truth value of the event's data, false if it is not there.
    pub fn flag(&self, field: &str) -> bool {
        self.data.get(field).and_then(serde_json::Value::as_bool).unwrap_or_default()
    }
}

/// Host time of an event since the epoch; both parts are -1 if QEMU could not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// Rest.
    pub microseconds: i64,
}
