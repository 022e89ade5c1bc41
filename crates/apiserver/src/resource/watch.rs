//! Watches: a stream of changes, from the cache.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use machinery::status::Status;
use serde_json::{Value, json};

use super::options::ListOptions;
use super::{Call, list, present, read};
use crate::body::BodyError;
use crate::cache::{Change, ChangeKind, Entry, Watcher};
use crate::registry::ResourceRef;
use crate::request::negotiate::{Accepted, Encoding, Form, STREAM_MEDIA_TYPES};
use crate::serve::websocket::Framing;
use crate::table::Include;
use crate::{ApiServer, Body, Result, body, conversion, protobuf};

/// A watch without a timeout of its own ends after a time between this and twice this.
const DEFAULT_TIMEOUT: u64 = 1800;

/// How often a quiet watch that asked for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Annotation on the bookmark that ends the initial objects.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Answers a watch.
pub(crate) async fn watch(call: &mut Call) -> Result<Response<Body>> {
    let options = ListOptions::parse(call, true)?;
    let Accepted { form, encoding } = call.accepted;
    if encoding == Encoding::Yaml {
        return Err(Status::not_acceptable(&STREAM_MEDIA_TYPES).into());
    }
    let cache = call.server.caches().of(&call.resource.collection);
    let revision = match options.version.as_str() {
        "" => None,
        text => Some(text.parse::<u64>().map_err(|_| {
            Status::unexplained(
                500,
                format!("resourceVersion: Invalid value: {text:?}: must be an unsigned decimal number"),
            )
        })?),
    };
    let initial = match (options.send_initial, revision) {
        (Some(initial), _) => initial,
        (None, revision) => revision.is_none_or(|revision| revision == 0),
    };
    let mut first = Vec::new();
    let watcher = if initial {
        read::wait_for_revision(call).await?;
        if cache.keeps_objects() {
            let (entries, _, watcher) = cache.list_and_watch(&options.selection.namespace);
            first = entries;
            watcher
        } else {
            let now = ListOptions { version: String::new(), ..options.clone() };
            let (entries, meta) = list::select(call, &now).await?;
            first = entries;
            cache.watch(meta.revision).map_err(expired)?
        }
    } else {
        // A list may have shown what the cache is only about to learn of.
        read::wait_for_revision(call).await?;
        // Any state will do, so that the latest does.
        let revision =
            revision.filter(|revision| *revision > 0).unwrap_or_else(|| call.server.caches().applied());
        match cache.watch(revision) {
            Ok(watcher) => watcher,
            // The real server opens the stream and reports the loss in it.
            Err(error) => return Ok(stream_of(encoding, vec![error_event(encoding, &expired(error))])),
        }
    };
    let names = cache.fields();
    first.retain(|entry| options.selection.matches(&entry.key, &entry.facets, &names));
    let first = conversion::all_shown(&call.server, &call.resource, first).await?;
    let stream = WatchStream {
        server: call.server.clone(),
        resource: ResourceRef::clone(&call.resource),
        include: present::include_object(call)?,
        names,
        form,
        encoding,
        with_columns: true,
        watcher,
        options,
        last_bookmark: 0,
        events: 0,
    };
    Ok(stream.into_response(first))
}

fn expired(error: crate::cache::Expired) -> Box<Status> {
    Status::expired(format!("too old resource version: {} ({})", error.requested, error.floor)).into()
}

fn error_event(encoding: Encoding, status: &Status) -> Bytes {
    let mut event = BytesMut::new();
    put_event(&mut event, encoding, "ERROR", Object::Made(status.to_value()));
    event.freeze()
}

/// An object of an event.
enum Object {
    /// JSON as it stands in the cache.
    Kept(Bytes),
    /// One that was made for this watch.
    Made(Value),
}

/// Writes an event: a line of JSON, or a frame of protobuf.
fn put_event(out: &mut BytesMut, encoding: Encoding, kind: &str, object: Object) {
    if encoding == Encoding::Protobuf {
        let value = match &object {
            Object::Kept(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            Object::Made(value) => value.clone(),
        };
        // What has no protobuf form is not watched in it.
        if let Some(object) = protobuf::encode(&value) {
            out.put_slice(&protobuf::event(kind, &object));
        }
        return;
    }
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    match object {
        Object::Kept(bytes) => out.put_slice(&bytes),
        Object::Made(value) => out.put_slice(value.to_string().as_bytes()),
    }
    out.put_slice(b"}\n");
}

fn stream_of(encoding: Encoding, events: Vec<Bytes>) -> Response<Body> {
    let frames = events.into_iter().map(|event| Ok::<_, BodyError>(Frame::data(event)));
    respond(encoding, StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
}

fn respond(encoding: Encoding, body: Body) -> Response<Body> {
    let media_type = if encoding == Encoding::Protobuf { protobuf::STREAM_MEDIA_TYPE } else { body::JSON };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().remove(TRANSFER_ENCODING);
    let is_binary = encoding == Encoding::Protobuf;
    response.extensions_mut().insert(if is_binary { Framing::Lengths } else { Framing::Lines });
    response
}

struct WatchStream {
    server: ApiServer,
    resource: ResourceRef,
    include: Include,
    names: Arc<[Box<str>]>,
    form: Form,
    encoding: Encoding,
    with_columns: bool,
    watcher: Watcher,
    options: ListOptions,
    last_bookmark: u64,
    /// Events that are not counted yet.
    events: u64,
}

impl WatchStream {
    fn into_response(mut self, first: Vec<Arc<Entry>>) -> Response<Body> {
        let encoding = self.encoding;
        let mut lines = BytesMut::new();
        for entry in &first {
            self.put_entry(&mut lines, "ADDED", entry);
        }
        self.count_events();
        if self.options.send_initial == Some(true) && self.options.bookmarks {
            self.put_bookmark(&mut lines, true);
        }
        let seconds = self.options.timeout.unwrap_or_else(|| {
            let mut random = [0; 2];
            self.server.entropy().fill(&mut random);
            DEFAULT_TIMEOUT + u64::from(u16::from_le_bytes(random)) % DEFAULT_TIMEOUT
        });
        let clock = Arc::clone(self.server.clock());
        let end = async move { clock.sleep(Duration::from_secs(seconds)).await };
        let changes = futures::stream::unfold(Some(self), |state| async move {
            let mut state = state?;
            let (lines, more) = state.next_lines().await;
            Some((lines, more.then_some(state)))
        });
        let stream = futures::stream::iter([lines.freeze()])
            .chain(changes)
            .filter(|lines| futures::future::ready(!lines.is_empty()))
            .take_until(Box::pin(end))
            .map(|lines| Ok::<_, BodyError>(Frame::data(lines)));
        respond(encoding, StreamBody::new(stream).boxed_unsync())
    }

    /// Waits for changes; returns their lines, and whether the watch goes on.
    async fn next_lines(&mut self) -> (Bytes, bool) {
        let mut lines = BytesMut::new();
        let clock = Arc::clone(self.server.clock());
        let next = if self.options.bookmarks {
            tokio::select! {
                biased;
                next = self.watcher.next() => Some(next),
                () = clock.sleep(BOOKMARK_EVERY) => None,
            }
        } else {
            Some(self.watcher.next().await)
        };
        match next {
            Some(Ok(changes)) if changes.is_empty() => return (Bytes::new(), false),
            Some(Ok(changes)) => {
                let entries = changes.iter().map(|change| Arc::clone(&change.entry)).collect();
                match conversion::all_shown(&self.server, &self.resource, entries).await {
                    Ok(entries) => {
                        for (change, entry) in changes.iter().zip(&entries) {
                            self.put_change(&mut lines, change, entry);
                        }
                    }
                    Err(status) => return (error_event(self.encoding, &status), false),
                }
            }
            Some(Err(error)) => return (error_event(self.encoding, &expired(error)), false),
            None => {
                if self.watcher.bookmark() > self.last_bookmark {
                    self.put_bookmark(&mut lines, false);
                }
            }
        }
        self.count_events();
        (lines.freeze(), true)
    }

    fn count_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        if events > 0 {
            self.server.requests().sent_events(&self.resource, events);
        }
    }

    /// Writes what a change means to this watch: objects enter and leave its selection.
    fn put_change(&mut self, lines: &mut BytesMut, change: &Change, entry: &Entry) {
        let selection = &self.options.selection;
        let now = change.kind == ChangeKind::Put && selection.matches(&entry.key, &entry.facets, &self.names);
        let before =
            change.previous.as_ref().is_some_and(|facets| selection.matches(&entry.key, facets, &self.names));
        let kind = match (before, now) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return,
        };
        self.put_entry(lines, kind, entry);
    }

    fn put_entry(&mut self, out: &mut BytesMut, kind: &str, entry: &Entry) {
        let object = match self.form {
            Form::Object => Object::Kept(present::bytes_of(&self.resource, entry)),
            form => match present::value_of(&self.resource, entry) {
                Ok(object) => Object::Made(self.shown(&object, form)),
                Err(_) => return,
            },
        };
        self.events += 1;
        put_event(out, self.encoding, kind, object);
    }

    fn shown(&mut self, object: &Value, form: Form) -> Value {
        match form {
            Form::Object => object.clone(),
            Form::Partial(version) | Form::PartialList(version) => present::partial(object, version),
            Form::Table(version) => {
                let objects = std::slice::from_ref(object);
                let mut table =
                    crate::table::table(&self.resource, objects, version, self.include, self.server.now());
                table["metadata"] = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                // Only the first table of a watch describes the columns.
                if !std::mem::take(&mut self.with_columns) {
                    table["columnDefinitions"] = Value::Null;
                }
                table
            }
        }
    }

    fn put_bookmark(&mut self, lines: &mut BytesMut, initial_end: bool) {
        let revision = self.watcher.bookmark();
        self.last_bookmark = revision;
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({INITIAL_END: "true"});
        }
        let mut object = json!({"kind": self.resource.kind(), "apiVersion": self.resource.api_version(), "metadata": metadata});
        if !matches!(self.form, Form::Object) {
            object = self.shown(&object, self.form);
        }
        put_event(lines, self.encoding, "BOOKMARK", Object::Made(object));
    }
}
