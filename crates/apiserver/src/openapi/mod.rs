//! OpenAPI documents: an index at `/openapi/v3` with one document for each group and version, and one of the older
//! version for everything at `/openapi/v2`.
//!
//! Both versions are written from one [`content`]: [`operations`] of the registry's resources, and schemas, which for
//! built-in kinds are text in the executable and for custom resources stand in their definitions. Documents are written
//! when they are asked for. Of version 3 nothing is kept but hashes; the one of version 2, which takes longer, is kept
//! compressed until what it is made of changes.

mod built_in;
mod content;
mod custom;
mod descriptions;
mod form;
mod gnostic;
mod kept;
mod merge;
mod operations;
mod parameters;
mod structural;
mod text;
mod v2;
mod v3;
mod whole;

use std::sync::Arc;

use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, EXPIRES, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::Snapshot;
use crate::request::negotiate::{is_known, preferred};
use crate::request::query::Query;
use crate::serve::compress;
use crate::{ApiServer, Body, body};
use content::Content;
use form::Form;
use kept::Source;

pub use kept::Kept;
pub(crate) use merge::Foreign;

const INDEX: &str = "/openapi/v3";
const WHOLE: &str = "/openapi/v2";
/// Media types after `application/` of version 2 in JSON and in protobuf, the latter in two spellings.
const VERSION_2: [&str; 3] = [
    "json",
    "com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "com.github.proto-openapi.spec.v2.v1.0+protobuf",
];
/// The same of version 3.
const VERSION_3: [&str; 3] = [
    "json",
    "com.github.proto-openapi.spec.v3.v1.0+protobuf",
    "com.github.proto-openapi.spec.v3@v1.0+protobuf",
];
/// The spellings that answers have.
const VERSION_2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const VERSION_3_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
/// What clients keep they must ask for again, and show to nobody else.
const ASK_AGAIN: &str = "no-cache, private";
/// How long a document is good for whose address names its hash.
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// Answers an OpenAPI path, or nothing when the path is none.
pub async fn answer(
    server: &ApiServer,
    path: &str,
    query: &str,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    if path == WHOLE {
        return Some(version_2(server, headers).await);
    }
    let name = path.strip_prefix(INDEX)?;
    let snapshot = server.registry().snapshot();
    if name.is_empty() {
        return Some(index(server, snapshot, headers).await);
    }
    let name = name.strip_prefix('/')?.to_owned();
    let source = source(server, &snapshot, &name)?;
    let asked = Query::parse(query).get("hash").to_owned();
    Some(document(server, snapshot, name, source, &asked, headers).await)
}

/// Does work that takes a while where it keeps nobody else from working.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    // It ends early only with the process.
    tokio::task::spawn_blocking(work).await.ok()
}

fn header(response: &mut Response<Body>, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

async fn version_2(server: &ApiServer, headers: &HeaderMap) -> Response<Body> {
    let mut response = match (preferred(headers, &VERSION_2), whole::current(server).await) {
        (None, _) => plain(StatusCode::NOT_ACCEPTABLE),
        (_, None) => plain(StatusCode::SERVICE_UNAVAILABLE),
        (Some(at), Some(whole)) => {
            let (media_type, packed) =
                if at == 0 { (body::JSON, &whole.json) } else { (VERSION_2_PROTOBUF, &whole.protobuf) };
            let mut response = if is_known(headers, &whole.tag) {
                plain(StatusCode::NOT_MODIFIED)
            } else if compress::wanted(headers) {
                let mut response = body::answer(StatusCode::OK, media_type, packed.gzip.clone());
                header(&mut response, CONTENT_ENCODING, "gzip");
                response
            } else {
                body::answer(StatusCode::OK, media_type, packed.plain())
            };
            header(&mut response, ETAG, &format!("\"{}\"", whole.tag));
            response
        }
    };
    for name in [ACCEPT_ENCODING, ACCEPT] {
        header(&mut response, VARY, name.as_str());
    }
    header(&mut response, CACHE_CONTROL, ASK_AGAIN);
    response
}

/// Sends a document of version 3, for good when the address names its hash; an old hash leads to the new address.
async fn document(
    server: &ApiServer,
    snapshot: Arc<Snapshot>,
    name: String,
    source: Source,
    asked: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let Some(at) = preferred(headers, &VERSION_3) else {
        let mut response = plain(StatusCode::NOT_ACCEPTABLE);
        header(&mut response, VARY, ACCEPT.as_str());
        header(&mut response, CACHE_CONTROL, ASK_AGAIN);
        return response;
    };
    let (writer, place) = (server.clone(), name.clone());
    let written = aside(move || {
        let mut text = None;
        let tag =
            writer.openapi().tag(&place, source, || text.insert(write(&writer, &snapshot, &place)).clone());
        (tag, text.unwrap_or_else(|| write(&writer, &snapshot, &place)))
    });
    let Some((tag, text)) = written.await else { return plain(StatusCode::SERVICE_UNAVAILABLE) };
    let mut response = if !asked.is_empty() && *asked != *tag {
        let mut response = plain(StatusCode::MOVED_PERMANENTLY);
        header(&mut response, LOCATION, &address(&name, &tag));
        response
    } else {
        let mut response = if is_known(headers, &tag) {
            plain(StatusCode::NOT_MODIFIED)
        } else if at == 0 {
            body::answer(StatusCode::OK, body::JSON, text)
        } else {
            let mut message = Vec::new();
            gnostic::V3.write(&mut message, &serde_json::from_str(&text).unwrap_or_default());
            body::answer(StatusCode::OK, VERSION_3_PROTOBUF, message)
        };
        if asked.is_empty() {
            header(&mut response, CACHE_CONTROL, ASK_AGAIN);
        } else {
            header(&mut response, CACHE_CONTROL, "public, immutable");
            let end = server.now().saturating_add(YEAR).unwrap_or(jiff::Timestamp::MAX);
            header(&mut response, EXPIRES, &end.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        response
    };
    header(&mut response, ETAG, &format!("\"{tag}\""));
    header(&mut response, VARY, ACCEPT.as_str());
    response
}

fn address(name: &str, tag: &str) -> String {
    format!("{INDEX}/{name}?hash={tag}")
}

fn info(server: &ApiServer) -> Value {
    json!({"title": "Kubernetes", "version": server.settings().version})
}

/// The places of all documents of version 3.
async fn index(server: &ApiServer, snapshot: Arc<Snapshot>, headers: &HeaderMap) -> Response<Body> {
    let server = server.clone();
    let written = aside(move || {
        let names: Vec<String> = content::documents(&snapshot);
        let mut paths = Map::new();
        for name in &names {
            let Some(source) = source(&server, &snapshot, name) else { continue };
            let tag = server.openapi().tag(name, source, || write(&server, &snapshot, name));
            paths.insert(name.clone(), json!({"serverRelativeURL": address(name, &tag)}));
        }
        // What others answer they describe themselves, if at all.
        for group in &snapshot.groups {
            for version in &group.versions {
                if let Some(url) = version.remote.as_ref().and_then(|remote| remote.openapi.as_ref()) {
                    let name = content::place(&group.name, &version.version);
                    paths.insert(name, json!({"serverRelativeURL": url}));
                }
            }
        }
        server.openapi().retain(|name| paths.contains_key(name));
        paths.sort_keys();
        json!({"paths": paths}).to_string()
    });
    let Some(text) = written.await else { return plain(StatusCode::SERVICE_UNAVAILABLE) };
    let tag = kept::tag_of(text.as_bytes());
    let mut response = if is_known(headers, &tag) {
        plain(StatusCode::NOT_MODIFIED)
    } else {
        body::answer(StatusCode::OK, "text/plain; charset=utf-8", text)
    };
    header(&mut response, ETAG, &format!("\"{tag}\""));
    header(&mut response, CACHE_CONTROL, ASK_AGAIN);
    response
}

/// A hash over all that the document `name` is made of; nothing where there is none.
fn source(server: &ApiServer, snapshot: &Snapshot, name: &str) -> Option<Source> {
    let mut hash = Sha256::new();
    hash.update(name);
    for resource in content::resources(snapshot, name)? {
        hash.update(resource.api_version());
        hash.update(resource.plural());
        if resource.custom {
            hash.update(custom::revision(server, resource).to_be_bytes());
        }
    }
    Some(hash.finalize().into())
}

/// Writes a document of version 3.
fn write(server: &ApiServer, snapshot: &Snapshot, name: &str) -> String {
    let content = Content::named(snapshot, name).unwrap_or_default();
    let mut text = format!("{{\"openapi\":\"3.0.0\",\"info\":{},\"paths\":{{", info(server));
    for item in &content.items {
        text::put(&mut text, &item.path, &v3::path(item));
    }
    text.push_str("},\"components\":{\"schemas\":{");
    content.schemas.each(server, Form::V3, &mut |name, schema| text::put(&mut text, name, &schema));
    let schemes = json!({"BearerToken": v2::bearer_token()});
    text.push_str(&format!("}},\"securitySchemes\":{schemes}}}}}"));
    text
}
