//! What the installation's `KubeVirt` object says about launcher Pods.

use std::collections::BTreeMap;

use api::kubevirt::v1::{KubeVirtConfiguration, ResourceRequirementsWithoutClaims};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Config;

/// Name of the console log's container among those whose resources can be configured.
const CONSOLE_LOG: &str = "guest-console-log";

impl Config {
    /// Returns these settings with what `configuration` says in their place; what it leaves open stays.
    #[must_use]
    pub fn configured(&self, configuration: &KubeVirtConfiguration) -> Self {
        let mut config = self.clone();
        let architectures = configuration.architecture_configuration.as_ref();
        let architecture = architectures.and_then(|all| all.default_architecture.as_deref());
        set(&mut config.architecture, architecture);
        set(&mut config.pull_policy, configuration.image_pull_policy.as_deref());
        let runtime_class = configuration.default_runtime_class.as_ref().filter(|name| !name.is_empty());
        config.runtime_class = runtime_class.or(self.runtime_class.as_ref()).cloned();
        let storage_class = configuration.vm_state_storage_class.as_ref().filter(|name| !name.is_empty());
        config.state_storage_class = storage_class.or(self.state_storage_class.as_ref()).cloned();
        if let Some(selector) = &configuration.auto_cpu_limit_namespace_label_selector {
            config.cpu_limit_selector = serde_json::to_value(selector).unwrap_or_default();
        }
        if let Some(options) = &configuration.virtual_machine_options {
            config.console_log_by_default = options.disable_serial_console_log.is_none();
        }
        let ratio = configuration.additional_guest_memory_overhead_ratio.as_deref();
        if let Some(ratio) = ratio.and_then(|text| text.parse().ok()).filter(|ratio: &f64| *ratio >= 1.0) {
            config.overhead_ratio = ratio;
        }
        let mut supporting = configuration.support_container_resources.iter();
        if let Some(own) = supporting.rfind(|own| own.type_ == CONSOLE_LOG) {
            config.console_log_resources = Some(requirements(&own.resources));
        }
        if let Some(developer) = &configuration.developer_configuration {
            config.use_emulation = developer.use_emulation.unwrap_or(self.use_emulation);
            if let Some(ratio) = positive(developer.cpu_allocation_ratio) {
                config.cpu_allocation_ratio = ratio;
            }
            if let Some(percent) = positive(developer.memory_overcommit) {
                config.memory_overcommit = percent;
            }
            config.node_selector.extend(developer.node_selectors.clone());
        }
        config
    }
}

fn set(field: &mut String, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        text.clone_into(field);
    }
}

fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

fn requirements(resources: &ResourceRequirementsWithoutClaims) -> ResourceRequirements {
    let amounts = |list: &BTreeMap<String, api::quantity::Quantity>| {
        let list: BTreeMap<_, _> =
            list.iter().map(|(name, amount)| (name.clone(), Quantity(amount.0.clone()))).collect();
        (!list.is_empty()).then_some(list)
    };
    ResourceRequirements {
        claims: None,
        limits: amounts(&resources.limits),
        requests: amounts(&resources.requests),
    }
}
