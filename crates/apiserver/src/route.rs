//! Sends a request on to what answers it.

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use machinery::admission::UserInfo;
use machinery::status::{Reason, Status};
use serde_json::json;

use crate::registry::{ResourceRef, Snapshot};
use crate::request::RequestInfo;
use crate::request::negotiate::{Accepted, Offer, accepted};
use crate::request::query::{Query, decode_path};
use crate::resource::{self, Call};
use crate::{ApiServer, Body, Result, aggregation, auth, body, discovery, encoding, health, openapi};

/// A request of which it is known what it asks for, and as whom.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    body: Body,
    pub(crate) info: RequestInfo,
    pub(crate) user: UserInfo,
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// Refuses who is not known, or may not act as who they say.
    pub(crate) fn read(server: &ApiServer, request: Request<Body>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let path = decode_path(parts.uri.path());
        let info = RequestInfo::parse(&parts.method, &path, parts.uri.query());
        let user = parts.extensions.get::<UserInfo>().cloned().ok_or_else(Status::unauthorized)?;
        let user = auth::acting(server, user, &parts.headers)?;
        Ok(Self { parts, body, info, user })
    }
}

/// Answers a request.
pub(crate) async fn route(server: &ApiServer, asked: Asked) -> Result<Response<Body>> {
    let Asked { parts, body: request_body, info, user } = asked;
    auth::authorize(server, &user, &info, parts.uri.query())?;
    let request = Request::from_parts(parts, request_body);
    let (parts, request_body) = match aggregation::answer(server, &info, &user, request).await {
        Ok(response) => return Ok(response),
        Err(request) => request.into_parts(),
    };
    if !info.is_resource {
        let response = plain(server, &info, &parts).await?;
        if !info.path.starts_with("/api") || discovery::is_aggregated(&response) {
            return Ok(response);
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let accepted = accepted(&parts.headers, &query, Offer::Plain)?;
        return Ok(encoding::translated(response, accepted.encoding).await);
    }
    if info.verb.is_empty() {
        return Err(method_not_allowed());
    }
    if let Some(extension) = server.extension(&info.group) {
        return Ok(extension.handle(&user, Request::from_parts(parts, request_body)).await);
    }
    let snapshot = server.registry().snapshot();
    let group = snapshot.group(&info.group);
    if !group.is_some_and(|group| group.versions.iter().any(|version| *version.version == *info.version)) {
        return Ok(discovery::not_found());
    }
    let resource =
        snapshot.resource(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
    let subresource = find_subresource(resource, &info)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let accepted = match subresource.as_ref().map(|sub| &*sub.name) {
        // They answer with bytes of their own.
        Some("log" | "exec" | "attach" | "portforward" | "proxy") => Accepted::default(),
        Some("scale") => accepted(&parts.headers, &query, Offer::BuiltIn)?,
        _ if resource.custom => accepted(&parts.headers, &query, Offer::Custom)?,
        _ => accepted(&parts.headers, &query, Offer::BuiltIn)?,
    };
    let mut call = Call {
        server: server.clone(),
        resource: ResourceRef::clone(resource),
        subresource,
        query,
        accepted,
        headers: parts.headers,
        user,
        warnings: resource.deprecation.iter().map(ToString::to_string).collect(),
        info,
    };
    let answer = resource::answer(&mut call, request_body).await;
    let mut response = match answer {
        Ok(response) => encoding::translated(response, call.accepted.encoding).await,
        Err(status) => encoding::refusal(&call.headers, &call.query, &status).await,
    };
    for warning in &call.warnings {
        if let Ok(value) = HeaderValue::from_bytes(warning_header(warning).as_bytes()) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    Ok(response)
}

/// Refuses what the resource does not answer, as a path or as a method.
fn find_subresource(
    resource: &ResourceRef,
    info: &RequestInfo,
) -> Result<Option<crate::registry::Subresource>> {
    let scoped = resource.namespaced || info.namespace.is_empty() || &*info.resource == "namespaces";
    if !scoped || (resource.namespaced && info.namespace.is_empty() && !info.name.is_empty()) {
        return Err(Status::no_such_path().into());
    }
    if info.subresource.is_empty() {
        let verb = crate::registry::Verb::parse(&info.verb).ok_or_else(method_not_allowed)?;
        // A path below `watch` may name one object.
        let item = matches!(&*info.verb, "get" | "update" | "patch" | "delete")
            || (&*info.verb == "watch" && !info.name.is_empty());
        let everywhere = matches!(&*info.verb, "list" | "watch");
        let in_scope =
            info.namespace.is_empty() != resource.namespaced || everywhere || &*info.resource == "namespaces";
        let fits = (item != info.name.is_empty()) && in_scope;
        return if fits && resource.allows(verb) { Ok(None) } else { Err(method_not_allowed()) };
    }
    let subresource = resource.subresource(&info.subresource).ok_or_else(Status::no_such_path)?;
    match crate::registry::Verb::parse(&info.verb) {
        Some(verb) if subresource.verbs.contains(&verb) => Ok(Some(subresource.clone())),
        _ => Err(method_not_allowed()),
    }
}

fn method_not_allowed() -> Box<Status> {
    let message = "the server does not allow this method on the requested resource";
    Status::failure(Reason::MethodNotAllowed, message)
        .with_details(machinery::status::Details::default())
        .into()
}

/// Requests that concern no resource.
async fn plain(server: &ApiServer, info: &RequestInfo, parts: &Parts) -> Result<Response<Body>> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(method_not_allowed());
    }
    let snapshot = server.registry().snapshot();
    let response = match info.path.trim_end_matches('/') {
        "" => discovery::root(&snapshot),
        "/version" => version(server),
        "/metrics" => {
            body::answer(StatusCode::OK, "text/plain; version=0.0.4", crate::metrics::render(server))
        }
        path => {
            let query = parts.uri.query().unwrap_or_default();
            if let Some(response) = health::answer(server, &info.path, query).await {
                return Ok(response);
            }
            let found = discovery::answer(&snapshot, path, &parts.headers);
            let found = match found {
                None => openapi::answer(server, path, query, &parts.headers).await,
                found => found,
            };
            match found.or_else(|| auth::oidc::answer(server, path)) {
                Some(response) => response,
                None if unknown_version(&snapshot, path) => return Err(Status::no_such_path().into()),
                None => discovery::not_found(),
            }
        }
    };
    Ok(response)
}

/// A version that a known group does not have is told as an object, all other unknown paths as plain text.
fn unknown_version(snapshot: &Snapshot, path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "api", _] => true,
        ["", "apis", group, _] => snapshot.group(group).is_some(),
        _ => false,
    }
}

fn version(server: &ApiServer) -> Response<Body> {
    let version = &server.settings().version;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let info = json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": minor,
        "gitVersion": version, "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": format!("linux/{}", architecture()),
    });
    body::json(StatusCode::OK, &info)
}

/// The processor's architecture by the names that Kubernetes uses, which are Go's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes a warning as RFC 7234 wants it, with the code that Kubernetes uses.
fn warning_header(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    format!("299 - \"{quoted}\"")
}
