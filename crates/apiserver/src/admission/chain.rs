//! Runs all that look at a write, in order.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::admission::{Operation, Request, Response};
use machinery::status::{Reason, Status};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::policy::Policies;
use super::webhook::{Reinvocation, Webhooks};
use super::{AdmissionPlugin, Settle};
use crate::registry::{Collection, Resource, ResourceRef};
use crate::{ApiServer, Result};

/// How long all webhooks together may take for one request.
const PATIENCE: Duration = Duration::from_secs(60);

/// The group of the objects that configure admission.
pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// The circumstances of a request.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) server: ApiServer,
    /// The resource in the version of the request.
    pub(crate) resource: ResourceRef,
    /// When the last webhook must have answered.
    pub(crate) deadline: Instant,
}

impl Context {
    pub(crate) fn new(server: &ApiServer, resource: &ResourceRef) -> Self {
        Self { server: server.clone(), resource: Arc::clone(resource), deadline: Instant::now() + PATIENCE }
    }
}

/// The plug-ins in the order in which they are asked, the webhooks and the policies.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    plugins: Vec<Arc<dyn AdmissionPlugin>>,
    webhooks: Webhooks,
    policies: Policies,
}

impl Chain {
    /// Makes a chain.
    pub(crate) fn new(plugins: Vec<Arc<dyn AdmissionPlugin>>) -> Self {
        Self { plugins, ..Self::default() }
    }

    /// Returns whether anything may want to see writes of this resource.
    pub(crate) fn concerns(&self, server: &ApiServer, resource: &Resource, subresource: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.concerns(resource.group(), resource.plural(), subresource))
            || (!is_exempt(&resource.collection) && configured(server))
    }

    /// Returns what a plug-in says of a field that a kind does not have.
    pub(crate) fn advice(&self, group: &str, kind: &str, field: &str) -> Option<String> {
        self.plugins.iter().find_map(|plugin| plugin.advice(group, kind, field))
    }

    /// Lets plug-ins and webhooks change `request.object`.
    ///
    /// # Errors
    /// Returns the refusal of the first that refuses.
    pub(crate) async fn mutate(
        &self,
        context: &Context,
        request: &mut Request,
        settle: Settle<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let dynamic = !is_exempt(&context.resource.collection) && configured(&context.server);
        let mut reinvocation = Reinvocation::default();
        self.mutate_in_process(request, warnings).await?;
        if !dynamic {
            return Ok(());
        }
        let changed = self.webhooks.mutate(context, request, settle, &mut reinvocation, warnings).await?;
        if changed {
            let mut repeated = Vec::new();
            self.mutate_in_process(request, &mut repeated).await?;
            self.webhooks.mutate(context, request, settle, &mut reinvocation, &mut repeated).await?;
            for warning in repeated {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok(())
    }

    async fn mutate_in_process(&self, request: &mut Request, warnings: &mut Vec<String>) -> Result<()> {
        // What is deleted cannot be changed any more.
        if request.operation == Operation::Delete {
            return Ok(());
        }
        for plugin in self.concerned(request) {
            let response = plugin.mutate(request).await;
            let patch = response.patch.clone();
            settle_answer(plugin, response, warnings)?;
            if let Some(patch) = patch {
                request.object = patched(plugin, &request.object, &patch)?;
            }
        }
        Ok(())
    }

    /// Lets plug-ins, policies and webhooks judge `request`.
    ///
    /// # Errors
    /// Returns the refusal of the first that refuses.
    pub(crate) async fn validate(
        &self,
        context: &Context,
        request: &Request,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        for plugin in self.concerned(request) {
            let response = plugin.validate(request).await;
            settle_answer(plugin, response, warnings)?;
        }
        if is_exempt(&context.resource.collection) || !configured(&context.server) {
            return Ok(());
        }
        self.policies.validate(context, request, warnings)?;
        self.webhooks.validate(context, request, warnings).await
    }

    fn concerned(&self, request: &Request) -> Vec<&Arc<dyn AdmissionPlugin>> {
        let (group, resource) = (&request.resource.group, &request.resource.resource);
        self.plugins.iter().filter(|plugin| plugin.concerns(group, resource, &request.sub_resource)).collect()
    }
}

/// Nobody may keep others from taking a webhook or a policy away again.
fn is_exempt(collection: &Collection) -> bool {
    &*collection.group == GROUP
        && matches!(
            &*collection.plural,
            "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
                | "mutatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "validatingwebhookconfigurations"
        )
}

/// Whether there is any webhook, or any policy in force.
fn configured(server: &ApiServer) -> bool {
    ["mutatingwebhookconfigurations", "validatingwebhookconfigurations", "validatingadmissionpolicybindings"]
        .into_iter()
        .any(|plural| !server.caches().of(&Collection::new(GROUP, plural)).is_empty())
}

/// Collects warnings, and turns a denial into the refusal that the client gets.
fn settle_answer(
    plugin: &Arc<dyn AdmissionPlugin>,
    response: Response,
    warnings: &mut Vec<String>,
) -> Result<()> {
    warnings.extend(response.warnings);
    if response.allowed {
        return Ok(());
    }
    Err(denial(plugin.name(), response.status.unwrap_or_else(Status::success)).into())
}

/// Words a denial as Kubernetes words a webhook's: its reason is the one given, or none.
pub(super) fn denial(name: &str, given: Status) -> Status {
    let why = match (given.message.as_str(), given.reason.as_str()) {
        ("", "") => " without explanation".to_owned(),
        ("", word) | (word, _) => format!(": {word}"),
    };
    let code = if given.code < 400 { Reason::BadRequest.code() } else { given.code };
    let mut status = Status::unexplained(code, format!("admission webhook {name:?} denied the request{why}"));
    status.reason = given.reason;
    status.details = given.details;
    status
}

fn patched(plugin: &Arc<dyn AdmissionPlugin>, object: &Value, patch: &str) -> Result<Value> {
    let fail = |what: String| -> crate::Refusal {
        Status::internal(format!("admission plug-in {:?} answered a patch that {what}", plugin.name())).into()
    };
    let bytes = STANDARD.decode(patch).map_err(|error| fail(format!("is not base64: {error}")))?;
    let patch = serde_json::from_slice(&bytes).map_err(|error| fail(format!("is not JSON: {error}")))?;
    machinery::patch::json::apply(object, &patch).map_err(|error| fail(format!("does not apply: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Kubernetes words what a webhook answers.
    #[test]
    fn a_denial_says_what_the_plug_in_says_and_no_more() {
        let told = |given: Status| {
            let status = denial("w", given);
            (status.code, status.reason, status.message)
        };
        let denied = |why: &str| format!("admission webhook \"w\" denied the request{why}");
        for (given, code, reason, why) in [
            (Status::unexplained(400, "no"), 400, "", ": no"),
            (Status::failure(Reason::Invalid, "wrong"), 422, "Invalid", ": wrong"),
            (Status::failure(Reason::Forbidden, ""), 403, "Forbidden", ": Forbidden"),
            (Status::success(), 400, "", " without explanation"),
        ] {
            assert_eq!(told(given), (code, reason.to_owned(), denied(why)));
        }
    }
}
