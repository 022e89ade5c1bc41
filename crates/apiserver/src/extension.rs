//! API groups that another component answers, in process: the place of an aggregated API server.

use http::{Request, Response};
use machinery::admission::UserInfo;

use crate::registry::Resource;
use crate::request::RequestInfo;
use crate::{Body, Result};

/// Answers all requests of one API group. Requests come authenticated and authorised.
#[async_trait::async_trait]
pub trait Extension: Send + Sync + std::fmt::Debug {
    /// The group, such as `subresources.kubevirt.io`.
    fn group(&self) -> &str;

    /// The resources of the group, for discovery. They must be of this group.
    fn resources(&self) -> Vec<Resource>;

    /// Answers a request.
    ///
    /// # Errors
    /// Refuses as the client shall be told.
    async fn handle(
        &self,
        info: &RequestInfo,
        user: &UserInfo,
        request: Request<Body>,
    ) -> Result<Response<Body>>;
}
