//! What clients send along: options as YAML or JSON, all of them optional.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Body;
use super::refusal::Refusal;

/// The largest body that is read, in bytes.
const LIMIT: usize = 3 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Start {
    pub(crate) paused: bool,
    pub(crate) dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Stop {
    /// Seconds that the guest gets, instead of what its specification grants.
    pub(crate) grace_period: Option<i64>,
    pub(crate) dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Restart {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Migrate {
    pub(crate) added_node_selector: BTreeMap<String, String>,
    pub(crate) dry_run: Vec<String>,
}

/// Options of what may be tried, and nothing more.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Trial {
    dry_run: Vec<String>,
}

impl Trial {
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run.first().is_some_and(|what| what == "All")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Freeze {
    /// A duration as Go writes it, such as `5m0s`; none means five minutes.
    pub(crate) unfreeze_timeout: Option<String>,
}

/// A volume that comes or goes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) disk: Option<Value>,
    pub(crate) volume_source: Option<Value>,
}

impl Volume {
    /// Returns the field without which nothing can be done; `comes` tells whether the volume is new.
    pub(crate) fn lacks(&self, comes: bool) -> Option<&'static str> {
        if self.name.is_empty() {
            Some("name")
        } else if comes && self.disk.is_none() {
            Some("disk")
        } else if comes && self.volume_source.is_none() {
            Some("volumeSource")
        } else {
            None
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EvacuateCancel {
    pub(crate) dry_run: Vec<String>,
}

/// Reads a body to its end.
pub(crate) async fn bytes(mut body: Body) -> Result<Bytes, Refusal> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::bad(format!("the request body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > LIMIT {
            return Err(Refusal::bad(format!("the request body is larger than {LIMIT} bytes")));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

/// Reads options; an empty body means none. Fields that are not known are left alone, as the reference does.
pub(crate) async fn read<T: DeserializeOwned + Default>(body: Body) -> Result<T, Refusal> {
    let bytes = bytes(body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    parse(&bytes)
        .map_err(|why| Refusal::bad(format!("Can not unmarshal Request body to struct, error: {why}")))
}

/// Reads YAML, of which JSON is a part.
pub(crate) fn parse<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let value: serde_json::Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => serde_saphyr::from_str(text).map_err(|error| error.to_string())?,
    };
    match value {
        serde_json::Value::Null => Ok(T::default()),
        // serde reads a list as the fields of a struct, in their order; nobody means that.
        serde_json::Value::Object(_) => serde_json::from_value(value).map_err(|error| error.to_string()),
        other => Err(format!("an object is expected, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_yaml_or_json() {
        let table = [
            (r#"{"paused": true, "dryRun": ["All"]}"#, Ok((true, 1))),
            ("paused: true\ndryRun: [All]\n", Ok((true, 1))),
            (r#"{"nope": 1}"#, Ok((false, 0))),
            ("null", Ok((false, 0))),
            ("[1]", Err(())),
            ("{{{", Err(())),
            (r#"{"paused": "yes"}"#, Err(())),
        ];
        for (text, expected) in table {
            let read = parse::<Start>(text.as_bytes());
            assert_eq!(
                read.map(|start| (start.paused, start.dry_run.len())).map_err(drop),
                expected,
                "{text}"
            );
        }
    }
}
