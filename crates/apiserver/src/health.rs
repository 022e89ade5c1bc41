//! Whether the server lives and is ready: `/livez`, `/readyz` and the older `/healthz`, as a whole or check by check.
//!
//! The checks have kube-apiserver's names where they mean the same, so that probes and scripts find them; `etcd` is whatever
//! keeps the objects.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use store::List;

use crate::request::query::Query;
use crate::{ApiServer, Body, body};

/// Time for the store to answer.
const PATIENCE: Duration = Duration::from_secs(2);
const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Ping,
    Log,
    Etcd,
    InformerSync,
    Shutdown,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Log => "log",
            Self::Etcd => "etcd",
            Self::InformerSync => "informer-sync",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether all is well.
    async fn holds(self, server: &ApiServer) -> bool {
        match self {
            // Who answers does both; what is cached was read before the first request; who is shutting down takes no
            // more requests.
            Self::Ping | Self::Log | Self::InformerSync | Self::Shutdown => true,
            Self::Etcd => store_answers(server).await,
        }
    }
}

/// Whether the store can be read, and soon.
pub(crate) async fn store_answers(server: &ApiServer) -> bool {
    let list = List { prefix: String::new(), after: None, limit: 1, at: None };
    tokio::select! {
        page = server.store().list(&list) => page.is_ok(),
        () = server.clock().sleep(PATIENCE) => false,
    }
}

/// Answers a path of health, or nothing when the path is none.
pub(crate) async fn answer(server: &ApiServer, path: &str, query: &str) -> Option<Response<Body>> {
    let mut parts = path.strip_prefix('/')?.splitn(2, '/');
    let (kind, one) = (parts.next()?, parts.next());
    let checks: &[Check] = match kind {
        "livez" | "healthz" => &[Check::Ping, Check::Log, Check::Etcd],
        "readyz" => &[Check::Ping, Check::Log, Check::Etcd, Check::InformerSync, Check::Shutdown],
        _ => return None,
    };
    if let Some(name) = one {
        let check = checks.iter().find(|check| check.name() == name)?;
        let holds = check.holds(server).await;
        let told = if holds { "ok" } else { "internal server error: the check failed\n" };
        return Some(text(holds, told.to_owned()));
    }
    let query = Query::parse(query);
    let excluded: Vec<&str> = query.all("exclude").filter(|name| !name.is_empty()).collect();
    let (mut told, mut holds) = (String::new(), true);
    for check in checks {
        let name = check.name();
        // Writing to a string does not fail.
        let _ = if excluded.contains(&name) {
            writeln!(told, "[+]{name} excluded: ok")
        } else if check.holds(server).await {
            writeln!(told, "[+]{name} ok")
        } else {
            holds = false;
            writeln!(told, "[-]{name} failed: reason withheld")
        };
    }
    let unknown = excluded.iter().filter(|name| checks.iter().all(|check| check.name() != **name));
    let mut unknown: Vec<String> = unknown.map(|name| format!("{name:?}")).collect();
    unknown.sort();
    if !unknown.is_empty() {
        let unknown = unknown.join(",");
        let _ = writeln!(told, "warn: some health checks cannot be excluded: no matches for {unknown}");
    }
    let _ = writeln!(told, "{kind} check {}", if holds { "passed" } else { "failed" });
    if holds && !query.has("verbose") {
        return Some(text(true, "ok".to_owned()));
    }
    Some(text(holds, told))
}

fn text(holds: bool, told: String) -> Response<Body> {
    let status = if holds { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut response = body::answer(status, TEXT, told);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
