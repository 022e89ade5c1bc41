//! Aggregation: API groups that programs beside this server answer, as `APIService` objects say.
//!
//! An `APIService` that names a Service has its group and version answered by what stands behind that Service: requests
//! are authorised here, and go on with their user in headers ([`proxy`]), which count because they come with a certificate
//! that only this server has ([`Front`]). The other `APIService` objects say what the server answers itself ([`local`]).
//! [`watch`] looks after both kinds, and says in the condition `Available` whether a program answers ([`availability`]).

mod availability;
mod front;
pub(crate) mod local;
mod proxy;
mod remote;
pub(crate) mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use http::{Request, Response};
use machinery::admission::UserInfo;
use parking_lot::RwLock;

use crate::registry::Collection;
use crate::request::RequestInfo;
use crate::{ApiServer, Body, discovery};

pub use front::Front;
use remote::Remote;

/// The API group of `APIService` objects.
pub(crate) const GROUP: &str = "apiregistration.k8s.io";

/// The collection of `APIService` objects.
pub(crate) fn services() -> Collection {
    Collection::new(GROUP, "apiservices")
}

/// Who answers, by group and version.
type Routes = HashMap<(Box<str>, Box<str>), Arc<Remote>>;

/// The groups that others answer.
#[derive(Debug)]
pub struct Aggregation {
    front: Front,
    routes: RwLock<Routes>,
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

    /// Finds who else answers a request: one for a resource, or for what discovery and OpenAPI say of a version.
    fn find(&self, info: &RequestInfo) -> Option<Arc<Remote>> {
        let routes = self.routes.read();
        if routes.is_empty() {
            return None;
        }
        let path = info.path.trim_matches('/');
        let path = path.strip_prefix("openapi/v3/").unwrap_or(path);
        let mut parts = path.strip_prefix("apis/")?.split('/');
        let (group, version) = (parts.next()?, parts.next()?);
        routes.get(&(group.into(), version.into())).cloned()
    }
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
        Some(remote) if !remote.available && info.path.starts_with("/openapi/") => Ok(discovery::not_found()),
        Some(remote) => Ok(proxy::forward(server, &aggregation.front, &remote, user, request).await),
        None => Err(request),
    }
}
