//! Counts requests under the names and labels of kube-apiserver, so that dashboards made for it show this server, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use super::histogram::Histogram;
use crate::registry::Resource;
use crate::request::RequestInfo;
use crate::request::query::{Query, decode_path};
use crate::resource::decode;
use crate::{ApiServer, Body};

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Upper bounds of answers, in bytes.
const BYTES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Paths of no resource that are told apart; all others are one.
const PATHS: [&str; 8] =
    ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version", "/apis"];

/// What a request is, as far as it is counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    component: &'static str,
    dry_run: &'static str,
    group: Box<str>,
    resource: Box<str>,
    scope: &'static str,
    subresource: Box<str>,
    verb: &'static str,
    version: Box<str>,
}

impl Labels {
    /// Names only what the server knows: what clients make up must not fill its memory.
    fn of(server: &ApiServer, info: &RequestInfo, query: &str, apply: bool) -> Self {
        let verb = match &*info.verb {
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" | "post" => "POST",
            "update" | "put" => "PUT",
            "patch" if apply => "APPLY",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            _ => "other",
        };
        let dry_run = if Query::parse(query).get("dryRun") == "All" { "All" } else { "" };
        let mut labels = Self { dry_run, verb, ..Self::default() };
        if !info.is_resource {
            let known = PATHS.iter().find(|path| **path == &*info.path);
            labels.subresource = known.copied().unwrap_or_default().into();
            return labels;
        }
        let snapshot = server.registry().snapshot();
        let Some(resource) = snapshot.resource(&info.group, &info.version, &info.resource) else {
            return labels;
        };
        if !info.subresource.is_empty() && resource.subresource(&info.subresource).is_none() {
            return labels;
        }
        labels.component = "apiserver";
        labels.scope = match (&*info.name, &*info.namespace) {
            ("", "") => "cluster",
            ("", _) => "namespace",
            _ => "resource",
        };
        labels.group = info.group.clone();
        labels.resource = info.resource.clone();
        labels.subresource = info.subresource.clone();
        labels.version = info.version.clone();
        labels
    }

    /// All labels but those that not every series has.
    fn shown(&self, dry_run: bool) -> String {
        let Self { component, group, resource, scope, subresource, verb, version, .. } = self;
        let dry = if dry_run { format!("dry_run=\"{}\",", self.dry_run) } else { String::new() };
        format!(
            "component=\"{component}\",{dry}group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
             subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
        )
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: BTreeMap<(Labels, u16), u64>,
    durations: BTreeMap<Labels, Histogram>,
    sizes: BTreeMap<Labels, Histogram>,
    long: BTreeMap<Labels, u64>,
    in_flight: BTreeMap<&'static str, u64>,
    /// Events of watches, by their labels.
    events: BTreeMap<String, u64>,
}

/// All that was counted.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Counts>);

/// A request that is being answered; counted as over when it goes.
pub(crate) struct Ongoing {
    server: ApiServer,
    labels: Labels,
    began: Duration,
    kind: Kind,
    code: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Short(&'static str),
    Long,
}

impl Ongoing {
    /// Begins to count a request.
    pub(crate) fn begin(server: &ApiServer, request: &Request<Body>) -> Self {
        let query = request.uri().query();
        let path = decode_path(request.uri().path());
        let info = RequestInfo::parse(request.method(), &path, query);
        let apply = decode::media_type(request.headers()) == "application/apply-patch+yaml";
        let labels = Labels::of(server, &info, query.unwrap_or_default(), apply);
        let kind = match &*info.verb {
            "watch" => Kind::Long,
            _ if info.is_resource
                && matches!(&*info.subresource, "log" | "exec" | "attach" | "portforward" | "proxy") =>
            {
                Kind::Long
            }
            "get" | "list" | "head" => Kind::Short("readOnly"),
            _ => Kind::Short("mutating"),
        };
        let mut counts = server.requests().0.lock();
        match kind {
            Kind::Short(kind) => *counts.in_flight.entry(kind).or_default() += 1,
            Kind::Long => *counts.long.entry(labels.clone()).or_default() += 1,
        }
        drop(counts);
        Self { server: server.clone(), labels, began: server.clock().elapsed(), kind, code: None }
    }

    /// Counts the answer. A stream is over when its body is.
    pub(crate) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        self.code = Some(response.status().as_u16());
        let Some(size) = response.body().size_hint().exact() else {
            return response.map(|stream| {
                let held = move |frame| {
                    let _over_with_the_stream = &self;
                    frame
                };
                stream.map_frame(held).boxed_unsync()
            });
        };
        if matches!(self.labels.verb, "GET" | "LIST") {
            let mut counts = self.server.requests().0.lock();
            let sizes = counts.sizes.entry(Labels { dry_run: "", ..self.labels.clone() });
            #[allow(clippy::cast_precision_loss, reason = "answers are smaller than 2^52 bytes")]
            sizes.or_insert_with(|| Histogram::new(&BYTES)).observe(size as f64);
        }
        response
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let took = self.server.clock().elapsed().saturating_sub(self.began);
        let mut counts = self.server.requests().0.lock();
        match self.kind {
            Kind::Short(kind) => {
                counts.in_flight.entry(kind).and_modify(|count| *count = count.saturating_sub(1));
            }
            Kind::Long => {
                counts.long.entry(self.labels.clone()).and_modify(|count| *count = count.saturating_sub(1));
            }
        }
        // Who went away before the answer is counted as kube-apiserver counts it.
        *counts.total.entry((self.labels.clone(), self.code.unwrap_or(499))).or_default() += 1;
        let durations = counts.durations.entry(self.labels.clone());
        durations.or_insert_with(|| Histogram::new(&SECONDS)).observe(took.as_secs_f64());
    }
}

impl Requests {
    /// Counts events that a watch sent.
    pub(crate) fn sent_events(&self, resource: &Resource, count: u64) {
        let (group, plural, version) = (resource.group(), resource.plural(), resource.version());
        let labels = format!("group=\"{group}\",resource=\"{plural}\",version=\"{version}\"");
        *self.0.lock().events.entry(labels).or_default() += count;
    }

    /// Writes all counts.
    pub(super) fn write(&self, text: &mut String) {
        let counts = self.0.lock();
        let head = |name: &str, kind: &str| format!("# TYPE {name} {kind}\n");
        text.push_str(&head("apiserver_request_total", "counter"));
        for ((labels, code), count) in &counts.total {
            let _ =
                writeln!(text, "apiserver_request_total{{code=\"{code}\",{}}} {count}", labels.shown(true));
        }
        text.push_str(&head("apiserver_request_duration_seconds", "histogram"));
        for (labels, histogram) in &counts.durations {
            histogram.write(text, "apiserver_request_duration_seconds", &labels.shown(true));
        }
        text.push_str(&head("apiserver_response_sizes", "histogram"));
        for (labels, histogram) in &counts.sizes {
            histogram.write(text, "apiserver_response_sizes", &labels.shown(false));
        }
        text.push_str(&head("apiserver_current_inflight_requests", "gauge"));
        for kind in ["mutating", "readOnly"] {
            let count = counts.in_flight.get(kind).copied().unwrap_or_default();
            let _ = writeln!(text, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {count}");
        }
        text.push_str(&head("apiserver_longrunning_requests", "gauge"));
        for (labels, count) in &counts.long {
            let _ = writeln!(text, "apiserver_longrunning_requests{{{}}} {count}", labels.shown(false));
        }
        text.push_str(&head("apiserver_watch_events_total", "counter"));
        for (labels, count) in &counts.events {
            let _ = writeln!(text, "apiserver_watch_events_total{{{labels}}} {count}");
        }
    }
}
