//! Rules of what holds templates: replica sets, pools, presets.

use std::collections::BTreeMap;

use api::kubevirt::v1::{
    VirtualMachine, VirtualMachineInstance, VirtualMachineInstancePreset, VirtualMachineInstanceReplicaSet,
};
use api::pool::v1beta1::{VirtualMachinePool, VirtualMachinePoolSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{FieldError, Path, Problem};
use machinery::selector::LabelSelector as Selector;

use super::{Errors, Scope, machine, metadata};
use crate::config::ClusterConfig;

/// Checks a replica set, new or changed.
pub fn replica_set(
    set: &VirtualMachineInstanceReplicaSet,
    config: &ClusterConfig,
    user: &str,
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let template = &set.spec.template;
    let Some(spec) = &template.spec else {
        errors.add(Problem::Required, Path::new("spec.template.spec"), (), "describe the instance");
        return errors.0;
    };
    let instance = VirtualMachineInstance { spec: spec.clone(), ..VirtualMachineInstance::default() };
    let instance = machine::filled(instance, config);
    let scope = Scope { path: Path::new("spec.template.spec"), config, instance: false };
    super::spec(&scope, &instance.spec, &mut errors);
    let at = Path::new("spec.template.metadata");
    metadata::instance(&at, &template.metadata, config, user, &mut errors);
    selects(&set.spec.selector, template.metadata.labels.as_ref(), &mut errors);
    errors.0
}

/// Checks a pool, new or changed; `old` is what it was before.
pub fn pool(
    pool: &VirtualMachinePool,
    old: Option<&VirtualMachinePool>,
    config: &ClusterConfig,
    user: &str,
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = &pool.spec;
    let template = &spec.virtual_machine_template;
    let vm = VirtualMachine { spec: template.spec.clone(), ..VirtualMachine::default() };
    errors.0.extend(machine::vm(&vm, config, user).into_iter().map(|mut error| {
        error.path = Path::new(format!("spec.virtualMachineTemplate.{}", error.path.as_str()));
        error
    }));
    selects(&spec.selector, template.metadata.labels.as_ref(), &mut errors);
    if old.is_some_and(|old| old.spec.selector != spec.selector) {
        let rule = "the selector stays as it is: the pool would lose its machines";
        errors.add(Problem::Invalid, Path::new("spec.selector"), (), rule);
    }
    if let Some(most) = &spec.max_unavailable {
        unavailable(most, &mut errors);
    }
    strategies(spec, &mut errors);
    errors.0
}

fn unavailable(most: &IntOrString, errors: &mut Errors) {
    let at = Path::new("spec.maxUnavailable");
    match most {
        IntOrString::Int(count) if *count < 1 => {
            errors.invalid(at, *count, "write at least 1, or 1% to 100%");
        }
        IntOrString::Int(_) => {}
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
            if percent.is_none_or(|percent| !(1..=100).contains(&percent)) {
                errors.invalid(at, text.as_str(), "write a number of at least 1, or 1% to 100%");
            }
        }
    }
}

fn strategies(spec: &VirtualMachinePoolSpec, errors: &mut Errors) {
    let one = |set: &[(&str, bool)]| {
        let names: Vec<&str> = set.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        (names.len() > 1).then(|| names.join(", "))
    };
    let scale_in = spec.scale_in_strategy.as_ref().and_then(|own| {
        one(&[
            ("unmanaged", own.unmanaged.is_some()),
            ("opportunistic", own.opportunistic.is_some()),
            ("proactive", own.proactive.is_some()),
        ])
    });
    let update = spec.update_strategy.as_ref().and_then(|own| {
        one(&[
            ("unmanaged", own.unmanaged.is_some()),
            ("opportunistic", own.opportunistic.is_some()),
            ("proactive", own.proactive.is_some()),
        ])
    });
    for (field, names) in [("scaleInStrategy", scale_in), ("updateStrategy", update)] {
        if let Some(names) = names {
            errors.invalid(Path::new("spec").child(field), names, "these exclude each other; keep one");
        }
    }
}

fn selects(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>, errors: &mut Errors) {
    let at = Path::new("spec.selector");
    let written = serde_json::to_value(selector).unwrap_or_default();
    match Selector::from_object(&written) {
        Err(error) => errors.invalid(at, written, error.to_string()),
        Ok(selector) => {
            let value = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
            if !selector.matches_labels(value) {
                errors.invalid(at, written, "the labels of the template do not fit; make them the same");
            }
        }
    }
}

/// Checks a preset.
pub fn preset(preset: &VirtualMachineInstancePreset) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if preset.spec.domain.is_none() {
        errors.add(Problem::Required, Path::new("spec.domain"), (), "say what instances get");
    }
    errors.0
}
