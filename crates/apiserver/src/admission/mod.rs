//! Admission: what looks at a write after authorisation and before storage, and may change or refuse it.
//!
//! All that look are asked the same [`Request`]: plug-ins in process ([`AdmissionPlugin`]), webhooks ([`webhook`]) and
//! admission policies ([`policy`]). First those that change: plug-ins, then webhooks, and both once more where a later
//! one changed what an earlier one had seen. The object is defaulted and validated; then those that judge are asked:
//! plug-ins, policies, webhooks.

mod chain;
mod conditions;
mod matching;
pub(crate) mod policy;
pub(crate) mod webhook;

use machinery::admission::{Request, Response};
use serde_json::Value;

pub(crate) use chain::{Chain, Context, GROUP};
pub(crate) use conditions::{condition_scope, policy_scope};
pub(crate) use policy::{check_all_types, check_types};

use crate::Result;

/// Brings an object that was changed from outside into its kind's form.
pub(crate) type Settle<'a> = &'a (dyn Fn(&mut Value) -> Result<()> + Sync);

/// One admission plug-in, in process.
///
/// Both methods answer as a webhook would: a refusal carries a status, a mutation carries a JSON patch in base64,
/// warnings reach the client as Warning headers. A plug-in that a request does not concern answers "allowed". `mutate` is
/// asked again when a webhook changed the object afterwards: it must not mind its own work.
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
