//! OpenAPI documents: an index at `/openapi/v3`, and one document for each group and version.
//!
//! Documents are written when they are asked for and kept nowhere: the schemas of built-in kinds are text in the
//! executable, those of custom resources are in their definitions. What clients need of a document is that it lists a
//! kind's fields (`kubectl explain`), how lists merge (`kubectl apply`), and which parameters writes take.

mod built_in;
mod custom;
mod descriptions;
mod paths;

use http::header::{ACCEPT, CACHE_CONTROL, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::{GroupVersion, Snapshot};
use crate::request::query::Query;
use crate::{ApiServer, Body, body, protobuf};

const INDEX: &str = "/openapi/v3";
/// By this clients ask for the old format in protobuf, in several spellings.
const VERSION_2_PROTOBUF: &str = "com.github.proto-openapi.spec.v2";
/// The spelling that answers have.
const VERSION_2_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Answers an OpenAPI path, or nothing when the path is none.
pub fn answer(server: &ApiServer, path: &str, query: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let snapshot = server.registry().snapshot();
    if path == "/openapi/v2" {
        return Some(version_2(server, headers));
    }
    let rest = path.strip_prefix(INDEX)?.trim_matches('/');
    if rest.is_empty() {
        let index = index(server, &snapshot).to_string();
        return Some(body::answer(StatusCode::OK, "text/plain; charset=utf-8", index));
    }
    let (group, version) = match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return None,
    };
    let versions = &snapshot.group(&group)?.versions;
    let found = versions.iter().find(|own| *own.version == *version && own.remote.is_none())?;
    let hash = hash(server, found);
    let asked = Query::parse(query).get("hash").to_owned();
    Some(document(server, found, rest, &hash, &asked, headers))
}

/// Sends a document, for good when the address names its hash; an old hash leads to the new address.
fn document(
    server: &ApiServer,
    version: &GroupVersion,
    path: &str,
    hash: &str,
    asked: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let tag = format!("\"{hash}\"");
    let mut response = if !asked.is_empty() && asked != hash {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        if let Ok(location) = HeaderValue::from_str(&format!("{INDEX}/{path}?hash={hash}")) {
            response.headers_mut().insert(LOCATION, location);
        }
        return response;
    } else if headers.get_all(IF_NONE_MATCH).iter().any(|known| known.as_bytes() == tag.as_bytes()) {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        body::answer(StatusCode::OK, body::JSON, text(server, version))
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    let caching = if asked.is_empty() { "no-cache, private" } else { "public, immutable" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

fn info(server: &ApiServer) -> Value {
    json!({"title": "Kubernetes", "version": server.settings().version})
}

/// The old format: only enough for clients that look whether it is there. kubectl does, for kinds that it finds in no
/// document of the new format, and takes nothing but protobuf.
fn version_2(server: &ApiServer, headers: &HeaderMap) -> Response<Body> {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|value| value.contains(VERSION_2_PROTOBUF)) {
        let document = version_2_protobuf(&server.settings().version);
        return body::answer(StatusCode::OK, VERSION_2_MEDIA_TYPE, document);
    }
    let document = json!({"swagger": "2.0", "info": info(server), "paths": {}, "definitions": {}});
    body::json(StatusCode::OK, &document)
}

/// The same document in protobuf: message `openapi.v2.Document`.
fn version_2_protobuf(version: &str) -> Vec<u8> {
    let info = [protobuf::field(1, b"Kubernetes"), protobuf::field(2, version.as_bytes())].concat();
    [protobuf::field(1, b"2.0"), protobuf::field(2, &info), protobuf::field(8, b""), protobuf::field(9, b"")]
        .concat()
}

fn index(server: &ApiServer, snapshot: &Snapshot) -> Value {
    let mut paths = Map::new();
    for group in &snapshot.groups {
        for version in &group.versions {
            let path = match &*group.name {
                "" => format!("api/{}", version.version),
                name => format!("apis/{name}/{}", version.version),
            };
            let url = match &version.remote {
                None => format!("{INDEX}/{path}?hash={}", hash(server, version)),
                // What others answer they describe themselves, if at all.
                Some(remote) => match &remote.openapi {
                    Some(url) => url.to_string(),
                    None => continue,
                },
            };
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// A hash over all that a document is made of.
fn hash(server: &ApiServer, version: &GroupVersion) -> String {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(&server.settings().version);
    hash.update(built_in::digest());
    for resource in &version.resources {
        hash.update(resource.api_version());
        hash.update(resource.plural());
        if resource.custom {
            hash.update(custom::revision(server, resource).to_be_bytes());
        }
    }
    hex::encode_upper(hash.finalize())
}

/// Writes the document of one group and version.
fn text(server: &ApiServer, version: &GroupVersion) -> String {
    let mut paths = Map::new();
    let mut schemas = built_in::Schemas::default();
    for resource in &version.resources {
        let name = match resource.schema.definition() {
            Some(name) => {
                schemas.need(name);
                name.to_owned()
            }
            None if resource.custom => {
                let name = custom::name(resource);
                schemas.add(&name, &custom::schema(server, resource));
                schemas.add(&format!("{name}List"), &custom::list_schema(resource, &name));
                name
            }
            None => continue,
        };
        paths::add(&mut paths, resource, &name, &mut schemas);
    }
    let (info, paths) = (info(server), Value::Object(paths));
    format!(
        "{{\"openapi\":\"3.0.0\",\"info\":{info},\"paths\":{paths},\"components\":{{\"schemas\":{}}}}}",
        schemas.finish()
    )
}
