//! Aggregation: API groups that programs beside this server answer, as `APIService` objects say.
//!
//! An `APIService` that names a Service has its group and version answered by what stands behind that Service: requests
//! are authorised here, and go on with their user in headers ([`proxy`]), which count because they come with a certificate
//! that only this server has ([`Front`]). The other `APIService` objects say what the server answers itself ([`local`]).
//! [`watch`] looks after both kinds, [`asking`] asks each program, and the condition `Available` says whether it answers
//! ([`availability`]).

mod asking;
mod availability;
mod front;
pub(crate) mod local;
mod proxy;
mod remote;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Request, Response};
use machinery::admission::UserInfo;
use machinery::object;
use parking_lot::RwLock;
use serde_json::Value;

use crate::registry::{Collection, RemoteFacts, RemoteVersion};
use crate::request::RequestInfo;
use crate::{ApiServer, Body, discovery, openapi};

use availability::{Described, Finding};
pub use front::Front;
use remote::Remote;

/// The API group of `APIService` objects.
pub(crate) const GROUP: &str = "apiregistration.k8s.io";

/// The collection of `APIService` objects.
pub(crate) fn services() -> Collection {
    Collection::new(GROUP, "apiservices")
}

/// Who answers a version, and what is known of it.
#[derive(Debug)]
struct Route {
    remote: Arc<Remote>,
    /// Whether it answered when it was asked last, be it before a restart.
    available: bool,
    resources: Vec<Value>,
    facts: RemoteFacts,
}

/// The groups that others answer.
#[derive(Debug)]
pub struct Aggregation {
    front: Front,
    /// By name of the `APIService`, which is `VERSION.GROUP`.
    routes: RwLock<BTreeMap<String, Route>>,
}

impl Aggregation {
    /// Shows others that it is this server that asks, as `front` says.
    pub fn new(front: Front) -> Self {
        Self { front, routes: RwLock::default() }
    }

    /// How this server shows who it is.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Serves what the stored objects say. What changed or is new counts as available if its condition says so, and is
    /// listed as stale until its program was asked.
    pub(crate) fn read(&self, server: &ApiServer) {
        let kinds = server.registry().snapshot();
        let mut routes = self.routes.write();
        let mut before = std::mem::take(&mut *routes);
        for entry in server.caches().of(&services()).snapshot("").0 {
            let Ok(object) = entry.parse() else { continue };
            let Some(remote) = Remote::read(&object) else { continue };
            // Nobody answers for what this server itself stands on.
            if kinds.is_built_in(&remote.group, &remote.version) {
                continue;
            }
            let name = entry.key.name.to_string();
            let known = before.remove(&name);
            let route = match known {
                Some(known) if known.remote.spec == remote.spec => known,
                known => {
                    let (resources, openapi) =
                        known.map_or_else(Default::default, |known| (known.resources, known.facts.openapi));
                    let facts = RemoteFacts { stale: true, openapi };
                    Route { remote: Arc::new(remote), available: said_available(&object), resources, facts }
                }
            };
            routes.insert(name, route);
        }
        list(server, &routes);
    }

    /// Takes in what was found of a program, unless its object has changed meanwhile; says whether it did.
    fn learn(
        &self,
        server: &ApiServer,
        name: &str,
        remote: &Arc<Remote>,
        finding: &Finding,
        described: Option<Described>,
    ) -> bool {
        let mut routes = self.routes.write();
        let Some(route) = routes.get_mut(name).filter(|route| Arc::ptr_eq(&route.remote, remote)) else {
            return false;
        };
        route.available = finding.available;
        route.facts.stale = !finding.available;
        if let Some(described) = described {
            route.resources = described.resources;
            if let Ok(openapi) = described.openapi {
                route.facts.openapi = openapi;
            }
        }
        list(server, &routes);
        true
    }

    /// All programs, with the names of their objects.
    fn remotes(&self) -> Vec<(String, Arc<Remote>)> {
        self.routes.read().iter().map(|(name, route)| (name.clone(), Arc::clone(&route.remote))).collect()
    }

    /// Finds who else answers a request: one for a resource, or for what discovery and OpenAPI say of a version. With
    /// whether it answers at present.
    fn find(&self, info: &RequestInfo) -> Option<(Arc<Remote>, bool)> {
        let routes = self.routes.read();
        if routes.is_empty() {
            return None;
        }
        let parts: Vec<&str> = info.path.split('/').filter(|part| !part.is_empty()).collect();
        // Who may read documents may not therefore read what lies beneath their addresses.
        let (["openapi", "v3", "apis", group, version] | ["apis", group, version, ..]) = parts.as_slice()
        else {
            return None;
        };
        let route = routes.get(&format!("{version}.{group}"))?;
        Some((Arc::clone(&route.remote), route.available))
    }
}

/// What other programs tell of the versions that they answer, in OpenAPI's version 2; those that tell nothing are left out.
pub(crate) async fn documents(server: &ApiServer) -> Vec<openapi::Foreign> {
    let Some(aggregation) = server.aggregation() else { return Vec::new() };
    let mut remotes: Vec<_> = {
        let routes = aggregation.routes.read();
        let routes = routes.values().filter(|route| route.available);
        routes.map(|route| Arc::clone(&route.remote)).collect()
    };
    remotes.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.path().cmp(&b.path())));
    let ask = |remote: Arc<Remote>| async move {
        let asked = availability::ask(server, &aggregation.front, &remote, "/openapi/v2").await;
        let (group, version) = (remote.group.to_string(), remote.version.to_string());
        asked.ok().map(|document| openapi::Foreign { group, version, document })
    };
    futures::future::join_all(remotes.into_iter().map(ask)).await.into_iter().flatten().collect()
}

/// Has discovery list what `routes` lead to.
fn list(server: &ApiServer, routes: &BTreeMap<String, Route>) {
    let versions = routes.values().map(|route| RemoteVersion {
        group: route.remote.group.clone(),
        version: route.remote.version.clone(),
        priority: route.remote.priority,
        resources: route.resources.clone(),
        remote: route.facts.clone(),
    });
    server.registry().set_remote(versions.collect());
}

/// Whether an object says that its program answers.
fn said_available(object: &Value) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| {
        object::str_at(condition, &["type"]) == "Available"
            && object::str_at(condition, &["status"]) == "True"
    })
}

/// Has another program answer a request of `user`, if one stands for what it asks; gives it back otherwise.
pub(crate) async fn answer(
    server: &ApiServer,
    info: &RequestInfo,
    user: &UserInfo,
    request: Request<Body>,
) -> Result<Response<Body>, Request<Body>> {
    let Some(aggregation) = server.aggregation() else { return Err(request) };
    match aggregation.find(info) {
        // Who does not answer describes nothing either.
        Some((_, false)) if info.path.starts_with("/openapi/") => Ok(discovery::not_found()),
        Some((_, false)) => Ok(proxy::unavailable("service unavailable")),
        Some((remote, true)) => {
            Ok(proxy::forward(server, &aggregation.front, &remote, user, &info.path, request).await)
        }
        None => Err(request),
    }
}
