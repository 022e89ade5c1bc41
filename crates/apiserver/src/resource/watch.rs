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
use crate::request::negotiate::{Form, accepted};
use crate::table::Include;
use crate::{ApiServer, Body, Result, body, conversion};

/// A watch without a timeout of its own ends after a time between this and twice this.
const DEFAULT_TIMEOUT: u64 = 1800;

/// How often a quiet watch that asked for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Annotation on the bookmark that ends the initial objects.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Answers a watch.
pub(crate) async fn watch(call: &mut Call) -> Result<Response<Body>> {
    let options = ListOptions::parse(call, true)?;
    let form = accepted(&call.headers, true)?.form;
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
        let revision = revision.unwrap_or_else(|| call.server.caches().applied());
        if revision > call.server.caches().applied() {
            return Err(read::too_large(revision, call.server.caches().applied()));
        }
        match cache.watch(revision) {
            Ok(watcher) => watcher,
            // The real server opens the stream and reports the loss in it.
            Err(error) => return Ok(stream_of(vec![error_line(&expired(error))])),
        }
    };
    let names = cache.fields();
    first.retain(|entry| options.selection.matches(&entry.key, &entry.facets, &names));
    let first = conversion::all_shown(&call.server, &call.resource, first).await?;
    let stream = WatchStream {
        server: call.server.clone(),
        resource: ResourceRef::clone(&call.resource),
        include: present::include_object(call),
        names,
        form,
        with_columns: true,
        watcher,
        options,
        last_bookmark: 0,
    };
    Ok(stream.into_response(first))
}

fn expired(error: crate::cache::Expired) -> Box<Status> {
    Status::expired(format!("too old resource version: {} ({})", error.requested, error.floor)).into()
}

fn error_line(status: &Status) -> Bytes {
    let mut line = json!({"type": "ERROR", "object": status.to_value()}).to_string();
    line.push('\n');
    line.into()
}

fn stream_of(lines: Vec<Bytes>) -> Response<Body> {
    let frames = lines.into_iter().map(|line| Ok::<_, BodyError>(Frame::data(line)));
    respond(StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(body::JSON));
    response.headers_mut().remove(TRANSFER_ENCODING);
    response
}

struct WatchStream {
    server: ApiServer,
    resource: ResourceRef,
    include: Include,
    names: Arc<[Box<str>]>,
    form: Form,
    with_columns: bool,
    watcher: Watcher,
    options: ListOptions,
    last_bookmark: u64,
}

impl WatchStream {
    fn into_response(mut self, first: Vec<Arc<Entry>>) -> Response<Body> {
        let mut lines = BytesMut::new();
        for entry in &first {
            self.put_line(&mut lines, "ADDED", entry);
        }
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
        respond(StreamBody::new(stream).boxed_unsync())
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
                    Err(status) => return (error_line(&status), false),
                }
            }
            Some(Err(error)) => return (error_line(&expired(error)), false),
            None => {
                if self.watcher.bookmark() > self.last_bookmark {
                    self.put_bookmark(&mut lines, false);
                }
            }
        }
        (lines.freeze(), true)
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
        self.put_line(lines, kind, entry);
    }

    fn put_line(&mut self, lines: &mut BytesMut, kind: &str, entry: &Entry) {
        let object = match self.form {
            Form::Object => present::bytes_of(&self.resource, entry),
            form => match present::value_of(&self.resource, entry) {
                Ok(object) => self.shown(&object, form).to_string().into(),
                Err(_) => return,
            },
        };
        lines.put_slice(b"{\"type\":\"");
        lines.put_slice(kind.as_bytes());
        lines.put_slice(b"\",\"object\":");
        lines.put_slice(&object);
        lines.put_slice(b"}\n");
    }

    fn shown(&mut self, object: &Value, form: Form) -> Value {
        match form {
            Form::Object => object.clone(),
            Form::Partial(version) => present::partial(object, version),
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
        let line = json!({"type": "BOOKMARK", "object": object}).to_string();
        lines.put_slice(line.as_bytes());
        lines.put_u8(b'\n');
    }
}
