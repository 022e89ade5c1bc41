//! Rules of the `KubeVirt` object.

use api::kubevirt::v1::KubeVirt;
use machinery::field::{FieldError, Path, Problem};

use super::Errors;
use crate::config::ClusterConfig;

/// Checks an installation, new or changed. `others` tells whether another one exists.
pub fn kubevirt(kubevirt: &KubeVirt, others: bool) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let config = ClusterConfig::new(kubevirt);
    let configuration = &kubevirt.spec.configuration;
    let at = Path::new("spec.configuration");
    if others {
        errors.invalid(
            Path::new("metadata.name"),
            kubevirt.metadata.name.clone().unwrap_or_default(),
            "a cluster has one KubeVirt object; change the one that exists",
        );
    }
    if let Some(tls) = &configuration.tls_configuration {
        let at = at.child("tlsConfiguration");
        match tls.min_tls_version.as_deref() {
            None | Some("") if !tls.ciphers.is_empty() => {
                errors.add(
                    Problem::Required,
                    at.child("minTLSVersion"),
                    (),
                    "a list of ciphers needs minTLSVersion",
                );
            }
            Some("VersionTLS13") if !tls.ciphers.is_empty() => {
                errors.invalid(
                    at.child("ciphers"),
                    tls.ciphers.len(),
                    "TLS 1.3 chooses its ciphers itself; remove the list",
                );
            }
            _ => {}
        }
    }
    if let Some(ratio) = configuration.additional_guest_memory_overhead_ratio.as_deref()
        && !ratio.parse::<f64>().is_ok_and(|ratio| ratio >= 1.0)
    {
        errors.invalid(
            at.child("additionalGuestMemoryOverheadRatio"),
            ratio,
            "write a number of at least 1.0, in quotes",
        );
    }
    if configuration.role_aggregation_strategy.as_deref() == Some("Manual")
        && !config.gate("OptOutRoleAggregation")
    {
        errors.gate(at.child("roleAggregationStrategy"), "Manual", "OptOutRoleAggregation");
    }
    if configuration.virt_template_deployment.as_ref().is_some_and(|template| template.enabled == Some(true))
        && !config.gate("Template")
    {
        errors.gate(at.child("virtTemplateDeployment"), true, "Template");
    }
    if !configuration.hypervisors.is_empty() && !config.gate("ConfigurableHypervisor") {
        errors.gate(at.child("hypervisors"), configuration.hypervisors.len(), "ConfigurableHypervisor");
    }
    let infra = kubevirt.spec.infra.as_ref().and_then(|infra| infra.replicas);
    if infra == Some(0) {
        errors.invalid(Path::new("spec.infra.replicas"), 0, "write at least 1, or leave it out");
    }
    let patches = &kubevirt.spec.customize_components.patches;
    for (index, patch) in patches.iter().enumerate() {
        if serde_json::from_str::<serde_json::Value>(&patch.patch).is_err() {
            errors.invalid(
                Path::new("spec.customizeComponents.patches").index(index).child("patch"),
                patch.patch.as_str(),
                "a patch is written as JSON",
            );
        }
    }
    errors.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_of_the_installation() {
        for (spec, field) in [
            (
                json!({"configuration": {"tlsConfiguration": {"ciphers": ["x"]}}}),
                "spec.configuration.tlsConfiguration.minTLSVersion",
            ),
            (
                json!({"configuration": {"additionalGuestMemoryOverheadRatio": "0.5"}}),
                "spec.configuration.additionalGuestMemoryOverheadRatio",
            ),
            (
                json!({"configuration": {"roleAggregationStrategy": "Manual"}}),
                "spec.configuration.roleAggregationStrategy",
            ),
            (json!({"infra": {"replicas": 0}}), "spec.infra.replicas"),
        ] {
            let object: KubeVirt = serde_json::from_value(json!({"spec": spec})).unwrap();
            let errors = kubevirt(&object, false);
            assert_eq!(errors[0].path.as_str(), field);
        }
        assert!(kubevirt(&KubeVirt::default(), false).is_empty());
        assert_eq!(kubevirt(&KubeVirt::default(), true).len(), 1);
    }
}
