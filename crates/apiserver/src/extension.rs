//! API groups that another component answers, in process: the place of an aggregated API server.

use http::{Request, Response};
use machinery::admission::UserInfo;
use serde_json::Value;

use crate::Body;

/// Answers all requests of one API group.
///
/// Requests come authenticated, and authorised by what their path says: the resource and the first part of the
/// subresource. An aggregated server knows its paths better, so it authorises once more by itself.
#[async_trait::async_trait]
pub trait Extension: Send + Sync + std::fmt::Debug {
    /// The group, such as `subresources.kubevirt.io`.
    fn group(&self) -> &str;

    /// The versions of the group, the preferred one first.
    fn versions(&self) -> Vec<ServedVersion>;

    /// Answers a request of `user` to a path below `/apis/GROUP/VERSION`.
    async fn handle(&self, user: &UserInfo, request: Request<Body>) -> Response<Body>;
}

/// One version of a group, as discovery shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedVersion {
    /// Version name.
    pub version: Box<str>,
    /// The entries of its `APIResourceList`, in that order.
    pub resources: Vec<Value>,
}
