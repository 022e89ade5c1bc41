//! What the quotas of a namespace ask of launcher Pods: read when a Pod is made, and not kept.

use kube_ext::{Api, ApiError, Client, Document, Key, Resource, Select, resources};
use plan::vmi::launcher::{AutomaticLimits, Config};
use serde_json::Value;

const QUOTA: Resource = Resource::namespaced("", "v1", "ResourceQuota", "resourcequotas");

/// Returns the limits that launcher Pods in `namespace` get.
pub(crate) async fn automatic(
    client: &Client,
    namespace: &str,
    config: &Config,
) -> Result<AutomaticLimits, ApiError> {
    let quotas = match Api::<Document>::of(client, QUOTA).list(&Select::default().within(namespace)).await {
        // An installation whose role is older than this goes on as it did.
        Err(error) if error.is_refused() => {
            tracing::warn!(namespace, %error, "machines get no limits from quotas");
            return Ok(AutomaticLimits::default());
        }
        listed => listed?,
    };
    let hard: Vec<&Value> = quotas.iter().filter_map(|quota| quota.fields.get("spec")?.get("hard")).collect();
    // Most namespaces have neither, and their labels do not matter.
    if hard.is_empty() && config.cpu_limit_selector.is_null() {
        return Ok(AutomaticLimits::default());
    }
    let found = Api::<Document>::of(client, resources::NAMESPACE).find(&Key::cluster(namespace)).await?;
    let labels = found.map(|namespace| namespace.metadata.labels).unwrap_or_default();
    Ok(AutomaticLimits::of(&hard, &labels, &config.cpu_limit_selector))
}
