//! Admission: what looks at a write after authorisation and before storage, and may change or refuse it.
//!
//! Plug-ins are asked with the data that a webhook would get. All mutating plug-ins run first, in order; the object is
//! defaulted again; then it is validated; then all validating plug-ins run.

mod chain;

use machinery::admission::{Request, Response};

pub use chain::Chain;

/// One admission plug-in, in process.
///
/// Both methods answer as a webhook would: a refusal carries a status, a mutation carries a JSON patch in base64,
/// warnings reach the client as Warning headers. A plug-in that a request does not concern answers "allowed".
#[async_trait::async_trait]
pub trait AdmissionPlugin: Send + Sync + std::fmt::Debug {
    /// Names the plug-in in refusals and logs.
    fn name(&self) -> &'static str;

    /// Returns whether the plug-in wants to see this request at all. Called before the request is assembled, for each
    /// write: it must be cheap.
    fn concerns(&self, group: &str, resource: &str, subresource: &str) -> bool;

    /// Says what to write instead of `field`, a path that the kind does not have, where the plug-in knows it.
    fn advice(&self, group: &str, kind: &str, field: &str) -> Option<String> {
        let _ = (group, kind, field);
        None
    }

    /// May change the object.
    async fn mutate(&self, request: &Request) -> Response {
        Response::allow(request.uid.clone())
    }

    /// May refuse the write.
    async fn validate(&self, request: &Request) -> Response {
        Response::allow(request.uid.clone())
    }
}
