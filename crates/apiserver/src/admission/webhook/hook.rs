//! One webhook: when it is asked, and asking it.

use std::sync::Arc;
use std::time::Duration;

use machinery::admission::Request;
use machinery::object;
use machinery::status::Status;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::Result;
use crate::admission::conditions::Conditions;
use crate::admission::matching::Criteria;
use crate::admission::{Context, condition_scope};
use crate::peer::{Peer, Silence};
use crate::registry::ResourceRef;

/// Questions to one webhook that may be under way at the same time.
const AT_ONCE: usize = 64;

/// One webhook of a configuration.
#[derive(Debug)]
pub(super) struct Hook {
    /// Tells it from all others.
    pub(super) id: String,
    pub(super) configuration: String,
    pub(super) name: String,
    pub(super) fails_closed: bool,
    pub(super) reinvoke: bool,
    side_effects: String,
    versions: Vec<String>,
    timeout: u64,
    criteria: Criteria,
    conditions: Conditions,
    peer: Peer,
    places: Semaphore,
}

impl Hook {
    /// Reads all webhooks of a configuration.
    pub(super) fn read_all(configuration: &Value) -> Vec<Arc<Self>> {
        let name = object::name(configuration);
        let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
        webhooks.enumerate().map(|(at, webhook)| Arc::new(Self::read(name, at, webhook))).collect()
    }

    fn read(configuration: &str, at: usize, webhook: &Value) -> Self {
        let text = |field: &str| webhook[field].as_str().unwrap_or_default().to_owned();
        let versions = webhook["admissionReviewVersions"].as_array().into_iter().flatten();
        Self {
            id: format!("{configuration}/{}/{at}", text("name")),
            configuration: configuration.to_owned(),
            name: text("name"),
            fails_closed: text("failurePolicy") != "Ignore",
            reinvoke: text("reinvocationPolicy") == "IfNeeded",
            side_effects: text("sideEffects"),
            versions: versions.filter_map(Value::as_str).map(str::to_owned).collect(),
            timeout: webhook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30),
            criteria: Criteria::of_webhook(webhook),
            conditions: Conditions::read(&webhook["matchConditions"], &condition_scope()),
            peer: Peer::read(&webhook["clientConfig"]),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Returns the resource, in the version to show, if the webhook is to be asked.
    ///
    /// # Errors
    /// Refuses a request of which that cannot be told, unless failures are to be ignored.
    pub(super) fn wants(&self, context: &Context, request: &Request) -> Result<Option<ResourceRef>> {
        let Some(resource) = self.criteria.matches(context, request)? else { return Ok(None) };
        match self.conditions.hold(context, request, None) {
            Ok(holds) => Ok(holds.then_some(resource)),
            Err(why) if self.fails_closed => {
                Err(Status::forbidden(&context.resource.gvr(), &request.name, why).into())
            }
            Err(why) => {
                tracing::warn!(webhook = self.name, "{why}; its failurePolicy is Ignore");
                Ok(None)
            }
        }
    }

    /// Whether it may be asked about what is not going to happen.
    pub(super) fn may_run_dry(&self) -> bool {
        matches!(self.side_effects.as_str(), "None" | "NoneOnDryRun")
    }

    /// The first form of question that both sides know.
    pub(super) fn review_version(&self) -> Result<&'static str, String> {
        let known = |version: &String| ["v1", "v1beta1"].into_iter().find(|known| known == version);
        self.versions
            .iter()
            .find_map(known)
            .ok_or_else(|| format!("it takes {:?}; this server asks in v1 and v1beta1", self.versions))
    }

    /// Sends the question; returns the body of the answer.
    pub(super) async fn post(&self, context: &Context, body: Vec<u8>) -> Result<Vec<u8>, String> {
        let limit = Duration::from_secs(self.timeout);
        let limit = limit.min(context.deadline.saturating_duration_since(Instant::now()));
        let url = format!("{}?timeout={}s", self.peer.url(), self.timeout);
        let told = |why: String| format!("failed to call webhook: Post {url:?}: {why}");
        let called = tokio::time::timeout(limit, async {
            let _place = self.places.acquire().await.map_err(|error| told(error.to_string()))?;
            let answer = self.peer.post(&context.server, self.timeout, limit, body).await;
            answer.map_err(|silence| match silence {
                Silence::Unreached(why) => told(why),
                Silence::Refused(why) => format!("failed to call webhook: {why}"),
            })
        });
        called.await.unwrap_or_else(|_| Err(told("context deadline exceeded".to_owned())))
    }
}
