//! Runs the admission plug-ins of a server in order.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::admission::{Request, Response};
use machinery::status::{Reason, Status};
use serde_json::Value;

use super::AdmissionPlugin;
use crate::Result;
use crate::registry::Resource;

/// The plug-ins, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Chain(Vec<Arc<dyn AdmissionPlugin>>);

impl Chain {
    /// Makes a chain.
    pub fn new(plugins: Vec<Arc<dyn AdmissionPlugin>>) -> Self {
        Self(plugins)
    }

    /// Returns whether any plug-in wants to see writes of this resource.
    pub fn concerns(&self, resource: &Resource, subresource: &str) -> bool {
        self.0.iter().any(|plugin| plugin.concerns(resource.group(), resource.plural(), subresource))
    }

    /// Returns what a plug-in says of a field that a kind does not have.
    pub fn advice(&self, group: &str, kind: &str, field: &str) -> Option<String> {
        self.0.iter().find_map(|plugin| plugin.advice(group, kind, field))
    }

    /// Lets every plug-in change `request.object`.
    ///
    /// # Errors
    /// Returns the refusal of the first plug-in that refuses.
    pub async fn mutate(&self, request: &mut Request, warnings: &mut Vec<String>) -> Result<()> {
        for plugin in self.concerned(request) {
            let response = plugin.mutate(request).await;
            let patch = response.patch.clone();
            settle(plugin, response, warnings)?;
            if let Some(patch) = patch {
                request.object = patched(plugin, &request.object, &patch)?;
            }
        }
        Ok(())
    }

    /// Lets every plug-in judge `request`.
    ///
    /// # Errors
    /// Returns the refusal of the first plug-in that refuses.
    pub async fn validate(&self, request: &Request, warnings: &mut Vec<String>) -> Result<()> {
        for plugin in self.concerned(request) {
            let response = plugin.validate(request).await;
            settle(plugin, response, warnings)?;
        }
        Ok(())
    }

    fn concerned(&self, request: &Request) -> Vec<&Arc<dyn AdmissionPlugin>> {
        let (group, resource) = (&request.resource.group, &request.resource.resource);
        self.0.iter().filter(|plugin| plugin.concerns(group, resource, &request.sub_resource)).collect()
    }
}

/// Collects warnings, and turns a denial into the refusal that the client gets.
fn settle(plugin: &Arc<dyn AdmissionPlugin>, response: Response, warnings: &mut Vec<String>) -> Result<()> {
    warnings.extend(response.warnings);
    if response.allowed {
        return Ok(());
    }
    Err(denial(plugin.name(), response.status.unwrap_or_else(Status::success)).into())
}

/// Words a denial as a webhook's is worded: its reason is the one given, or none.
fn denial(name: &str, given: Status) -> Status {
    let why = match (given.message.as_str(), given.reason.as_str()) {
        ("", "") => "without explanation".to_owned(),
        ("", word) | (word, _) => word.to_owned(),
    };
    let code = if given.code < 400 { Reason::BadRequest.code() } else { given.code };
    let mut status =
        Status::unexplained(code, format!("admission webhook {name:?} denied the request: {why}"));
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
        let denied = |why: &str| format!("admission webhook \"w\" denied the request: {why}");
        for (given, code, reason, why) in [
            (Status::unexplained(400, "no"), 400, "", "no"),
            (Status::failure(Reason::Invalid, "wrong"), 422, "Invalid", "wrong"),
            (Status::failure(Reason::Forbidden, ""), 403, "Forbidden", "Forbidden"),
            (Status::success(), 400, "", "without explanation"),
        ] {
            assert_eq!(told(given), (code, reason.to_owned(), denied(why)));
        }
    }
}
