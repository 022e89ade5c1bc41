//! Who asks, and whether they may.
//!
//! Authentication: a client certificate ([`certificate`]), else a bearer token ([`bearer`], [`websocket`]), else nobody. The identity
//! that comes out travels as a [`UserInfo`](machinery::admission::UserInfo); callers in the same process bring theirs.
//! Authorisation: impersonation headers first ([`impersonate`]), then RBAC ([`rbac`]) on the attributes that the
//! request's path gives ([`attributes`]), and for the agents of nodes what is on their node. Writes to roles and bindings pass [`escalation`] as well.

pub mod attributes;
pub mod bearer;
pub mod bootstrap;
pub mod certificate;
pub mod escalation;
pub mod identity;
mod impersonate;
mod node;
pub mod oidc;
pub mod rbac;
pub mod review;
mod token;
mod token_review;
pub(crate) mod websocket;

use std::sync::Arc;

use certs::SigningKey;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use machinery::admission::UserInfo;
use machinery::status::{Reason, Status};

use crate::request::RequestInfo;
use crate::{ApiServer, Result, audit};
use attributes::Attributes;
use rbac::{Decision, PolicyCache};

/// What an installation may choose about authentication.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The key that signs service-account tokens; without one no token is issued or accepted.
    pub token_key: Option<Arc<SigningKey>>,
    /// The issuer that tokens name.
    pub issuer: String,
    /// Audiences that this server answers to; the first is what tokens are for unless they ask for another.
    pub audiences: Vec<String>,
    /// Whether requests without credentials are let in as `system:anonymous`.
    pub anonymous: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let issuer = "https://kubernetes.default.svc".to_owned();
        Self { token_key: None, audiences: vec![issuer.clone()], issuer, anonymous: false }
    }
}

/// Authentication and authorisation of one server.
#[derive(Debug)]
pub struct Auth {
    pub(crate) settings: Settings,
    policy: PolicyCache,
}

impl Auth {
    /// Sets up with `settings`; the rules are those that the server's objects say at each moment.
    pub fn new(settings: Settings) -> Self {
        Self { settings, policy: PolicyCache::default() }
    }

    /// Decides by the roles and bindings as they are now.
    pub fn decide(&self, server: &ApiServer, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        if user.groups.iter().any(|group| group == identity::MASTERS) {
            return Decision::allowed(String::new());
        }
        let decision = self.policy.current(server.caches()).decide(user, attributes);
        if !decision.allowed {
            return decision;
        }
        match node::refusal(server, user, attributes) {
            Some(reason) => Decision { allowed: false, reason },
            None => decision,
        }
    }

    /// Returns the rules as they are now.
    pub(crate) fn policy(&self, server: &ApiServer) -> Arc<rbac::Policy> {
        self.policy.current(server.caches())
    }
}

/// Finds out who sends a request over the network: `peer` is what the client's certificate says, if it showed one.
///
/// # Errors
/// Refuses with 401 what cannot be told.
pub fn authenticate(server: &ApiServer, headers: &HeaderMap, peer: Option<&UserInfo>) -> Result<UserInfo> {
    if let Some(user) = peer {
        return Ok(user.clone());
    }
    match bearer_token(headers) {
        Some(token) => match bearer::verify(server, token, &server.auth().settings.audiences) {
            Ok(verified) => Ok(verified.user),
            Err(why) => {
                tracing::debug!(%why, "a bearer token is refused");
                Err(Status::unauthorized().into())
            }
        },
        None if server.auth().settings.anonymous => Ok(identity::anonymous()),
        None => Err(Status::unauthorized().into()),
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// Says as whom a request acts: impersonation headers may change that.
///
/// # Errors
/// Refuses with 403 who may not act as somebody else.
pub fn acting(server: &ApiServer, user: UserInfo, headers: &HeaderMap) -> Result<UserInfo> {
    impersonate::apply(server, user, headers).inspect_err(|status| {
        if status.code == Reason::Forbidden.code() {
            audit::decided(false, "");
        }
    })
}

/// Refuses with 403 unless `user` may do what a request asks for.
///
/// # Errors
/// The refusal names user, verb and resource.
pub fn authorize(server: &ApiServer, user: &UserInfo, info: &RequestInfo, query: Option<&str>) -> Result<()> {
    let name = attributes::selected_name(info, query.unwrap_or_default());
    let mut attributes = Attributes::of(info);
    if let Some(name) = &name {
        attributes.name = name;
    }
    let decision = server.auth().decide(server, user, &attributes);
    audit::decided(decision.allowed, &decision.reason);
    if decision.allowed { Ok(()) } else { Err(attributes.forbidden(user, &decision.reason)) }
}

/// Refuses with 403 unless `user` may do what `attributes` say.
///
/// # Errors
/// The refusal names user, verb and resource.
pub fn require(server: &ApiServer, user: &UserInfo, attributes: &Attributes<'_>) -> Result<()> {
    let decision = server.auth().decide(server, user, attributes);
    if decision.allowed { Ok(()) } else { Err(attributes.forbidden(user, &decision.reason)) }
}
