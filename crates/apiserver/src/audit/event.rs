//! One request as the audit log shows it: an `Event` of `audit.k8s.io/v1`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use machinery::admission::UserInfo;
use machinery::object;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::policy::{Level, Stage};
use crate::request::RequestInfo;
use crate::request::query::decode_path;

/// What a policy looks at.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) user: UserInfo,
    pub(super) info: RequestInfo,
    pub(super) path: String,
}

impl Subject {
    /// Reads who asks for what; nobody, where that is not known.
    pub(super) fn of(parts: &Parts) -> Self {
        let path = decode_path(parts.uri.path());
        let info = RequestInfo::parse(&parts.method, &path, parts.uri.query());
        let user = parts.extensions.get::<UserInfo>().cloned().unwrap_or_default();
        Self { user, info, path }
    }
}

/// The address at the other end of the connection that a request came by; absent from requests of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

/// The object that a request is about.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(skip_serializing_if = "is_empty")]
    resource: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    namespace: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    name: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    uid: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    api_group: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    api_version: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    resource_version: Box<str>,
    #[serde(skip_serializing_if = "is_empty")]
    subresource: Box<str>,
}

/// What becomes known of a request while it is answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    kind: &'static str,
    api_version: &'static str,
    level: Level,
    #[serde(rename = "auditID")]
    id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    uri: String,
    verb: Box<str>,
    user: UserInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<UserInfo>,
    #[serde(rename = "sourceIPs")]
    addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<Reference>,
    #[serde(skip_serializing_if = "Value::is_null")]
    response_status: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    request_object: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    response_object: Value,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip)]
    omits_managed_fields: bool,
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Who sent a request, as proxies say, and whose connection it came by, at last.
fn addresses(parts: &Parts) -> Vec<IpAddr> {
    let forwarded = text(&parts.headers, "x-forwarded-for").split(',');
    let told = forwarded.chain([text(&parts.headers, "x-real-ip")]);
    let mut addresses: Vec<IpAddr> = told.filter_map(|address| address.trim().parse().ok()).collect();
    let peer = parts.extensions.get::<ClientAddress>();
    addresses.push(peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.to_canonical()));
    addresses.dedup();
    addresses
}

impl Event {
    /// The event of a request that has just come, under the name `id`.
    pub(super) fn new(
        id: String,
        parts: &Parts,
        subject: Subject,
        level: Level,
        omits_managed_fields: bool,
        now: Timestamp,
    ) -> Self {
        let Subject { user, info, .. } = subject;
        let object_ref = info.is_resource.then(|| Reference {
            resource: info.resource,
            namespace: info.namespace,
            name: info.name,
            api_group: info.group,
            api_version: info.version,
            subresource: info.subresource,
            ..Reference::default()
        });
        Self {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level,
            id,
            stage: Stage::RequestReceived,
            uri: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            verb: info.verb,
            user,
            impersonated_user: None,
            addresses: addresses(parts),
            user_agent: text(&parts.headers, header::USER_AGENT).to_owned(),
            object_ref,
            response_status: Value::Null,
            request_object: Value::Null,
            response_object: Value::Null,
            request_received_timestamp: shown(now),
            stage_timestamp: shown(now),
            annotations: BTreeMap::new(),
            omits_managed_fields,
        }
    }

    /// Adds a fact; of two under one key the first counts.
    pub(super) fn annotate(&mut self, key: &str, value: &str) {
        if !self.annotations.contains_key(key) {
            self.annotations.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Says as whom the request acts.
    pub(super) fn impersonate(&mut self, user: &UserInfo) {
        self.impersonated_user = Some(user.clone());
    }

    /// Whether what was sent is shown.
    pub(super) fn shows_requests(&self) -> bool {
        self.level >= Level::Request
    }

    fn shows_answers(&self) -> bool {
        self.level >= Level::RequestResponse
    }

    /// Whether something of a good answer is shown: what it holds, or the `Status` that a delete is answered with.
    pub(super) fn reads_answers(&self) -> bool {
        self.shows_answers() || self.verb.starts_with("delete")
    }

    /// Completes the reference by what an object that was sent says of itself.
    pub(super) fn refer(&mut self, sent: &Value) {
        let Some(reference) = &mut self.object_ref else { return };
        for (known, told) in [
            (&mut reference.name, object::name(sent)),
            (&mut reference.uid, object::uid(sent)),
            (&mut reference.resource_version, object::resource_version(sent)),
        ] {
            if known.is_empty() {
                *known = told.into();
            }
        }
    }

    /// Shows what was sent.
    pub(super) fn set_request(&mut self, sent: Value) {
        self.request_object = self.pruned(sent);
    }

    /// Whether an answer was noted.
    pub(super) fn is_answered(&self) -> bool {
        !self.response_status.is_null()
    }

    /// Notes the outcome, and what was answered where it is shown; null when it was not read.
    pub(super) fn set_answer(&mut self, status: StatusCode, answer: Value) {
        let mut outcome = Map::from_iter([("metadata".to_owned(), json!({}))]);
        if object::kind(&answer) == "Status" && object::api_version(&answer) == "v1" {
            for name in ["status", "message", "reason", "details"] {
                if let Some(value) = answer.get(name).filter(|value| !value.is_null()) {
                    outcome.insert(name.to_owned(), value.clone());
                }
            }
        }
        outcome.insert("code".to_owned(), status.as_u16().into());
        self.response_status = Value::Object(outcome);
        if self.shows_answers() {
            self.response_object = self.pruned(answer);
        }
    }

    /// The line of a stage.
    pub(super) fn line(&mut self, stage: Stage, now: Timestamp) -> Vec<u8> {
        self.stage = stage;
        self.stage_timestamp = shown(now);
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    fn pruned(&self, mut object: Value) -> Value {
        if self.omits_managed_fields {
            object::remove_meta(&mut object, "managedFields");
            for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
                object::remove_meta(item, "managedFields");
            }
            for row in object.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
                row.get_mut("object").into_iter().for_each(|item| {
                    object::remove_meta(item, "managedFields");
                });
            }
        }
        object
    }
}
