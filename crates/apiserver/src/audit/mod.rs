//! The audit log: who asked for what, and what became of it, one JSON line an event.
//!
//! What is written of a request says a [`Policy`]. Events have the form of `audit.k8s.io/v1`. Components that answer a
//! request add to its event by [`annotate`] and the other functions here, wherever they are; a [`Log`] takes lines
//! without ever making a request wait.

mod event;
mod log;
mod policy;
mod rotation;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use machinery::admission::UserInfo;
use machinery::status::{Reason, Status};
use parking_lot::Mutex;
use serde_json::Value;

pub use log::{Count, Log};
pub use policy::{Policy, PolicyError};
pub use rotation::Rotation;

pub(crate) use event::ClientAddress;

use crate::resource::decode;
use crate::{ApiServer, Body, body, protobuf};
use event::{Event, Subject};
use policy::{Level, Omitted, Stage};

/// The header that names a request in the log: clients may choose the name, and are told it.
pub(crate) const ID: &str = "audit-id";
/// Bytes of a name that a client chose; the rest is cut off.
const ID_MAX: usize = 64;

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

tokio::task_local! {
    /// The event of the request that is being answered; nothing where the policy wants none.
    static EVENT: Option<Arc<Mutex<Event>>>;
}

/// Changes the event of the request that is being answered; returns whether there is an audit log at all.
fn tell(change: impl FnOnce(&mut Event)) -> bool {
    let told = EVENT.try_with(|event| {
        if let Some(event) = event {
            change(&mut event.lock());
        }
    });
    told.is_ok()
}

/// Adds an annotation to the event of the request that is being answered; the first word under a key counts. Without an
/// audit log it goes to the program's own.
pub(crate) fn annotate(key: &str, value: &str) {
    if !tell(|event| event.annotate(key, value)) {
        tracing::debug!(key, value, "audit annotation");
    }
}

/// Adds an annotation that tells something of what was sent, where that is shown.
pub(crate) fn annotate_request(key: &str, value: &str) {
    tell(|event| {
        if event.shows_requests() {
            event.annotate(key, value);
        }
    });
}

/// Notes whether a request may happen, and why.
pub(crate) fn decided(allowed: bool, reason: &str) {
    tell(|event| {
        event.annotate(DECISION, if allowed { "allow" } else { "forbid" });
        event.annotate(REASON, reason);
    });
}

/// Notes as whom a request acts.
pub(crate) fn impersonated(user: &UserInfo) {
    tell(|event| event.impersonate(user));
}

/// Notes an object that was sent; `complete` fills in what the server understands by it.
pub(crate) fn requested(sent: &Value, complete: impl FnOnce(&mut Value)) {
    tell(|event| {
        event.refer(sent);
        if event.shows_requests() {
            let mut sent = sent.clone();
            complete(&mut sent);
            event.set_request(sent);
        }
    });
}

/// Notes a patch, or options, that were sent.
pub(crate) fn requested_change(sent: &Value) {
    tell(|event| {
        if event.shows_requests() {
            event.set_request(sent.clone());
        }
    });
}

/// Keeps the event of a request open while somebody holds the request's extensions: an upgraded connection is over
/// when whoever carries it lets go of them.
#[derive(Clone, Debug, Default)]
struct Ongoing {
    record: Arc<Mutex<Option<Record>>>,
}

/// An audit log and what it is to hold.
#[derive(Debug)]
pub struct Audit {
    policy: Policy,
    log: Arc<Log>,
}

/// The name of a request: the one that its client chose, if it did.
pub(crate) fn id(server: &ApiServer, headers: &HeaderMap) -> String {
    let chosen = headers.get(ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    chosen.map_or_else(|| server.entropy().uuid(), |id| id.chars().take(ID_MAX).collect())
}

/// Whether requests like this stay open for as long as their clients like.
fn is_long(subject: &Subject) -> bool {
    let info = &subject.info;
    let streams = ["attach", "exec", "proxy", "log", "portforward"];
    info.is_resource && (matches!(&*info.verb, "watch" | "proxy") || streams.contains(&&*info.subresource))
}

impl Audit {
    /// Writes to `log` what `policy` says.
    pub fn new(policy: Policy, log: Arc<Log>) -> Self {
        Self { policy, log }
    }

    /// The log that it writes to.
    pub fn log(&self) -> &Log {
        &self.log
    }

    fn begin(&self, server: &ApiServer, parts: &Parts, subject: Subject) -> Option<Record> {
        let wanted = self.policy.of(&subject);
        if wanted.level == Level::None {
            return None;
        }
        let id = id(server, &parts.headers);
        let event = Event::new(id, parts, subject, wanted.level, wanted.without_managed_fields, server.now());
        Some(Record {
            server: server.clone(),
            log: Arc::clone(&self.log),
            event: Arc::new(Mutex::new(event)),
            omitted: wanted.omitted,
        })
    }

    /// Writes of a request whose sender could not be found out.
    pub(crate) fn refuse(&self, server: &ApiServer, parts: &Parts, status: &Status) {
        let Some(record) = self.begin(server, parts, Subject::of(parts)) else { return };
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::UNAUTHORIZED);
        record.event.lock().set_answer(code, status.to_value());
        record.write(Stage::ResponseStarted);
        record.close();
    }

    /// Answers a request and writes its events.
    pub(crate) async fn record(&self, server: &ApiServer, request: Request<Body>) -> Response<Body> {
        let (mut parts, sent) = request.into_parts();
        let subject = Subject::of(&parts);
        let is_long = is_long(&subject);
        let Some(record) = self.begin(server, &parts, subject) else {
            return EVENT.scope(None, server.answer(Request::from_parts(parts, sent))).await;
        };
        record.write(Stage::RequestReceived);
        let ongoing = Ongoing::default();
        parts.extensions.insert(ongoing.clone());
        let event = Some(Arc::clone(&record.event));
        let response = EVENT.scope(event, server.answer(Request::from_parts(parts, sent))).await;
        let response = record.read(response).await;
        if is_long || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            record.write(Stage::ResponseStarted);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            *ongoing.record.lock() = Some(record);
        } else if response.body().size_hint().exact().is_none() {
            return response.map(|stream| {
                let held = move |frame| {
                    let _over_with_the_stream = &record;
                    frame
                };
                stream.map_frame(held).boxed_unsync()
            });
        }
        response
    }
}

/// The event of one request; its last stage is written when this goes.
#[derive(Debug)]
struct Record {
    server: ApiServer,
    log: Arc<Log>,
    event: Arc<Mutex<Event>>,
    omitted: Omitted,
}

impl Record {
    fn write(&self, stage: Stage) {
        if !self.omitted.contains(&stage) {
            let line = self.event.lock().line(stage, self.server.now());
            self.log.write(line);
        }
    }

    /// Ends without the last stage.
    fn close(mut self) {
        self.omitted.insert(Stage::ResponseComplete);
    }

    /// Notes an answer. It is read only where something of it is shown.
    async fn read(&self, response: Response<Body>) -> Response<Body> {
        let status = response.status();
        let is_whole = response.body().size_hint().exact().is_some();
        let wanted = !status.is_success() || self.event.lock().reads_answers();
        if !is_whole || !wanted || status == StatusCode::SWITCHING_PROTOCOLS {
            self.event.lock().set_answer(status, Value::Null);
            return response;
        }
        let (parts, whole) = response.into_parts();
        let bytes = match whole.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(error) => {
                let why = format!("the answer broke off: {error}");
                let refusal = Status::failure(Reason::InternalError, why);
                self.event.lock().set_answer(StatusCode::INTERNAL_SERVER_ERROR, refusal.to_value());
                return body::refusal(&refusal);
            }
        };
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let answer = match kind {
            Some("application/yaml") => decode::yaml(&bytes).map(|decoded| decoded.value).unwrap_or_default(),
            Some(protobuf::MEDIA_TYPE) => protobuf::decode(&bytes).unwrap_or_default(),
            _ => serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        self.event.lock().set_answer(status, answer);
        Response::from_parts(parts, body::full(bytes))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.event.lock().is_answered() {
            let why = "the request ended before it was answered: its time was up, or its client went away";
            let status = Status::timeout(why, 0);
            self.event.lock().set_answer(StatusCode::GATEWAY_TIMEOUT, status.to_value());
        }
        self.write(Stage::ResponseComplete);
    }
}
