//! Rules of labels and annotations.

use api::names::{account, annotation, label};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Path, Problem};

use super::Errors;
use crate::config::ClusterConfig;

pub(super) fn instance(
    at: &Path,
    metadata: &ObjectMeta,
    config: &ClusterConfig,
    user: &str,
    errors: &mut Errors,
) {
    if !account::is_own(user) {
        let labels = metadata.labels.iter().flatten();
        if let Some((name, _)) = labels.into_iter().find(|(name, _)| label::RESERVED.contains(&name.as_str()))
        {
            errors.add(
                Problem::NotSupported,
                at.child("labels"),
                name.as_str(),
                "this label is set by the installation itself; remove it",
            );
        }
    }
    for (name, gate) in
        [(annotation::IGNITION, "ExperimentalIgnitionSupport"), (annotation::HOOK_SIDECARS, "Sidecar")]
    {
        if metadata.annotations.as_ref().is_some_and(|all| all.contains_key(name)) && !config.gate(gate) {
            errors.gate(at.child("annotations"), name, gate);
        }
    }
}
