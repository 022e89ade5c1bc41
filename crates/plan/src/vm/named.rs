//! Instance types and preferences that a machine names, and the ControllerRevisions that hold on to them.

use api::kubevirt::v1::{
    ControllerRevisionRef, InstancetypeStatusRef, KubeVirt, KubeVirtConfiguration, KubeVirtSpec,
    VirtualMachine,
};
use machinery::field::{FieldError, Path};
use model::config::ClusterConfig;
pub use model::instancetype::{Matcher, Scope, Specs};
use model::instancetype::{instancetype, preference, prepare};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, Vm};

/// Longest name of an object.
const LONGEST: usize = 253;

/// A name that a machine gives, reduced to what tells it from others. In a status: with the revision that holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Named {
    /// Name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// In a specification: the revision to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_name: Option<String>,
    /// In a status: the revision in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_revision_ref: Option<Revision>,
}

/// What becomes of names once they are found: `spec.configuration.instancetype.referencePolicy` of the installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// They stay, and revisions hold on to what they stood for.
    #[default]
    Reference,
    /// A machine gets what they stand for instead of them, unless a revision holds on to it already.
    Expand,
    /// The same for every machine.
    ExpandAll,
}

impl Policy {
    /// Reads the word of the configuration; what is unknown is refused when it is written.
    pub fn of(configuration: &KubeVirtConfiguration) -> Self {
        let own = configuration.instancetype.as_ref().and_then(|own| own.reference_policy.as_deref());
        match own {
            Some("expand") => Self::Expand,
            Some("expandAll") => Self::ExpandAll,
            _ => Self::Reference,
        }
    }
}

/// Name of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revision {
    /// Name.
    pub name: String,
}

impl Named {
    /// Whether there is a name at all: one that was to be inferred, and was not, is none.
    pub(super) fn is_given(&self) -> bool {
        self.name.as_deref().is_some_and(|name| !name.is_empty())
    }

    /// Whether `held`, of a status, is what this asks for.
    pub(super) fn is_held(&self, held: Option<&Self>) -> bool {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        held.is_some_and(|held| {
            let revision = held.controller_revision_ref.as_ref().map(|own| own.name.as_str());
            let wanted = given(&self.revision_name);
            given(&self.name) == given(&held.name)
                && given(&self.kind) == given(&held.kind)
                && revision.is_some_and(|own| wanted.is_none_or(|wanted| wanted == own))
        })
    }
}

/// Returns what is to be done about the names of a machine, or about those that it had.
pub(super) fn action(vm: &Vm, has_instance: bool) -> Option<Action> {
    let unheld = vm.has_unheld_names();
    let given = |own: &Option<Named>| own.as_ref().is_some_and(Named::is_given);
    let status = &vm.status;
    let pairs = [(&vm.instancetype, &status.instancetype_ref), (&vm.preference, &status.preference_ref)];
    let mut held = pairs.iter().filter_map(|(own, held)| held.as_ref().filter(|_| given(own)));
    let holds = held.any(|held| held.controller_revision_ref.is_some());
    let mut stale = pairs.iter().filter(|(own, held)| held.is_some() && !given(own));
    let expands = match vm.policy {
        Policy::Reference => false,
        // What a machine was given by reference stays so, whatever it names beside.
        Policy::Expand => unheld && !holds,
        Policy::ExpandAll => vm.has_names(),
    };
    if expands {
        Some(Action::ExpandNames)
    } else if unheld {
        Some(Action::HoldNames)
    } else {
        // An instance was made of them, and is compared by them.
        (!has_instance && stale.next().is_some()).then_some(Action::ForgetNames)
    }
}

/// Returns what a machine names, where it gives names.
pub fn matchers(vm: &VirtualMachine) -> Result<Vec<Matcher>, Box<FieldError>> {
    let all = [instancetype(vm)?, preference(vm)?];
    Ok(all.into_iter().flatten().filter(|matcher| !matcher.name.is_empty()).collect())
}

/// Returns the names of the status that the machine does not give any more, by their fields there.
pub fn stale(vm: &VirtualMachine) -> Vec<(&'static str, &InstancetypeStatusRef)> {
    let Some(status) = &vm.status else { return Vec::new() };
    let known = matchers(vm).unwrap_or_default();
    [
        ("instancetype", "instancetypeRef", &status.instancetype_ref),
        ("preference", "preferenceRef", &status.preference_ref),
    ]
    .into_iter()
    .filter(|(field, ..)| !known.iter().any(|matcher| matcher.field == *field))
    .filter_map(|(_, name, held)| Some((name, held.as_ref()?)))
    .collect()
}

/// Returns the name of the revision that the status holds on to for a name.
pub fn held(vm: &VirtualMachine, matcher: &Matcher) -> Option<String> {
    let status = vm.status.as_ref()?;
    matcher.held(match matcher.field {
        "instancetype" => status.instancetype_ref.as_ref(),
        _ => status.preference_ref.as_ref(),
    })
}

/// Returns the name of the revision that holds on to an object for a machine.
pub fn revision_name(machine: &str, object: &str, version: &str, uid: &str, generation: i64) -> String {
    let name = format!("{machine}-{object}-{version}-{uid}-{generation}");
    if name.len() <= LONGEST {
        return name;
    }
    let end = format!("-{}-{uid}-{generation}", crate::name::suffix(&name));
    let keep = LONGEST.saturating_sub(end.len());
    format!("{}{end}", name.get(..keep).unwrap_or_default())
}

/// Returns what the status says of a name once its revision is kept. `spec` is how the machine gives the name.
pub fn reference(vm: &VirtualMachine, matcher: &Matcher, revision: &str) -> (&'static str, Value) {
    let (field, kind) = match matcher.field {
        "instancetype" => ("instancetypeRef", vm.spec.instancetype.as_ref().and_then(|own| own.kind.clone())),
        _ => ("preferenceRef", vm.spec.preference.as_ref().and_then(|own| own.kind.clone())),
    };
    let reference = InstancetypeStatusRef {
        name: Some(matcher.name.clone()),
        kind,
        controller_revision_ref: Some(ControllerRevisionRef { name: Some(revision.to_owned()) }),
        ..InstancetypeStatusRef::default()
    };
    (field, json!(reference))
}

/// Returns the machine with what its names stand for, and without them; or says what is in the way.
pub fn replace(
    vm: &VirtualMachine,
    specs: &Specs,
    configuration: &KubeVirtConfiguration,
) -> Result<VirtualMachine, String> {
    model::instancetype::expand(vm, specs, &cluster(configuration)).map_err(|conflicts| conflict(&conflicts))
}

/// Puts what a machine names into its template, for the instance that is about to be made; or says what is in the way.
pub fn expand(
    vm: &VirtualMachine,
    specs: &Specs,
    configuration: &KubeVirtConfiguration,
) -> Result<VirtualMachine, String> {
    if specs.is_empty() {
        return Ok(vm.clone());
    }
    let mut vm = vm.clone();
    let conflicts = prepare(&mut vm, specs, &cluster(configuration));
    if !conflicts.is_empty() {
        return Err(conflict(&conflicts));
    }
    for matcher in matchers(&vm).unwrap_or_default() {
        let annotation = match matcher.scope {
            Scope::Cluster => format!("kubevirt.io/cluster-{}-name", matcher.field),
            Scope::Namespace => format!("kubevirt.io/{}-name", matcher.field),
        };
        vm.spec.template.metadata.annotations.get_or_insert_default().insert(annotation, matcher.name);
    }
    Ok(vm)
}

fn cluster(configuration: &KubeVirtConfiguration) -> ClusterConfig {
    let spec = KubeVirtSpec { configuration: configuration.clone(), ..KubeVirtSpec::default() };
    ClusterConfig::new(&KubeVirt { spec, ..KubeVirt::default() })
}

fn conflict(paths: &[Path]) -> String {
    let fields: Vec<&str> = paths.iter().map(Path::as_str).collect();
    format!("the instance type decides {}: remove what the machine says of it", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, kind: Option<&str>, revision: Option<&str>) -> Named {
        Named {
            name: Some(name.to_owned()),
            kind: kind.map(str::to_owned),
            controller_revision_ref: revision.map(|name| Revision { name: name.to_owned() }),
            ..Named::default()
        }
    }

    #[test]
    fn a_name_is_held_until_it_changes() {
        let wanted = named("a", Some("VirtualMachineInstancetype"), None);
        for (held, expected) in [
            (None, false),
            (Some(named("a", Some("VirtualMachineInstancetype"), Some("r"))), true),
            (Some(named("a", Some("VirtualMachineInstancetype"), None)), false),
            (Some(named("a", None, Some("r"))), false),
            (Some(named("b", Some("VirtualMachineInstancetype"), Some("r"))), false),
        ] {
            assert_eq!(wanted.is_held(held.as_ref()), expected, "{held:?}");
        }
        let asked = Named { revision_name: Some("old".to_owned()), ..wanted };
        assert!(!asked.is_held(Some(&named("a", Some("VirtualMachineInstancetype"), Some("r")))));
    }

    #[test]
    fn names_are_held_before_an_instance_is_made_and_after_all_else() {
        use crate::vm::{Action, Observed, Rollout, RunStrategy, Vm, step};
        let order = |strategy: RunStrategy| {
            let wanted = Some(named("a", None, None));
            let vm = Vm { generation: 1, strategy, instancetype: wanted, ..Vm::default() };
            let observed = Observed { vm, instance: None, rollout: Rollout::default(), trouble: None };
            let actions = step(&observed, "2026-01-02T03:04:05Z".parse().unwrap()).actions;
            let held = actions.iter().position(|action| *action == Action::HoldNames).unwrap();
            let made = actions.iter().position(|action| matches!(action, Action::KeepRevision { .. }));
            (held, made, actions.len())
        };
        let (held, made, _) = order(RunStrategy::Always);
        assert_eq!(made, Some(held + 1));
        let (held, made, all) = order(RunStrategy::Halted);
        assert!(made.is_none() && held > 0 && held < all, "{held} of {all}");
    }

    #[test]
    fn names_are_treated_as_the_installation_says() {
        let held = named("a", None, Some("r"));
        let table = [
            (Policy::Reference, true, false, false, Some(Action::HoldNames)),
            (Policy::Reference, true, true, false, None),
            (Policy::Expand, true, false, true, Some(Action::ExpandNames)),
            (Policy::Expand, true, true, false, None),
            (Policy::ExpandAll, true, true, true, Some(Action::ExpandNames)),
            (Policy::ExpandAll, false, true, true, None),
            (Policy::ExpandAll, false, true, false, Some(Action::ForgetNames)),
            (Policy::Reference, false, true, false, Some(Action::ForgetNames)),
            (Policy::Reference, false, false, false, None),
        ];
        for (policy, names, holds, has_instance, expected) in table {
            let mut vm = Vm { policy, ..Vm::default() };
            vm.instancetype = names.then(|| named("a", None, None));
            vm.status.instancetype_ref = holds.then(|| held.clone());
            assert_eq!(action(&vm, has_instance), expected, "{policy:?} {names} {holds} {has_instance}");
        }
        let mut mixed = Vm { policy: Policy::Expand, ..Vm::default() };
        mixed.instancetype = Some(named("a", None, None));
        mixed.status.instancetype_ref = Some(held);
        mixed.preference = Some(named("b", None, None));
        assert_eq!(action(&mixed, false), Some(Action::HoldNames));
        // What is no longer named holds nothing, and is let go by itself.
        mixed.status.preference_ref = mixed.status.instancetype_ref.take();
        mixed.preference = None;
        assert_eq!(action(&mixed, false), Some(Action::ExpandNames));
        mixed.policy = Policy::Reference;
        mixed.status.instancetype_ref = mixed.status.preference_ref.clone();
        assert_eq!(action(&mixed, true), None, "an instance was made of it");
        assert_eq!(action(&mixed, false), Some(Action::ForgetNames));
    }

    #[test]
    fn an_instance_is_made_of_the_machine_that_names_nothing_any_more() {
        use crate::vm::{Observed, Rollout, RunStrategy, step};
        let wanted = Some(named("a", None, None));
        let vm = Vm {
            generation: 1,
            strategy: RunStrategy::Always,
            policy: Policy::Expand,
            instancetype: wanted,
            ..Vm::default()
        };
        let observed = Observed { vm, instance: None, rollout: Rollout::default(), trouble: None };
        let actions = step(&observed, "2026-01-02T03:04:05Z".parse().unwrap()).actions;
        assert_eq!(actions.last(), Some(&Action::ExpandNames), "{actions:?}");
        assert!(!actions.iter().any(|action| matches!(action, Action::CreateInstance { .. })));
    }

    #[test]
    fn a_machine_that_runs_is_adopted_though_what_it_names_may_be_gone() {
        use crate::vm::{Action, Instance, Observed, Ownership, Rollout, RunStrategy, Vm, step};
        let named = Some(named("a", None, None));
        let vm = Vm { generation: 1, strategy: RunStrategy::Always, instancetype: named, ..Vm::default() };
        let instance = Instance {
            phase: "Running".to_owned(),
            owner: Ownership::Ours,
            places: Some("{}".to_owned()),
            ..Instance::default()
        };
        let observed = Observed { vm, instance: Some(instance), rollout: Rollout::default(), trouble: None };
        let actions = step(&observed, "2026-01-02T03:04:05Z".parse().unwrap()).actions;
        let at = |wanted: &Action| actions.iter().position(|action| action == wanted);
        let adopted = at(&Action::Adopt { places: Some("{}".to_owned()) });
        assert!(adopted.is_some() && at(&Action::HoldNames) > adopted, "{actions:?}");
    }

    #[test]
    fn revisions_have_names_that_fit() {
        assert_eq!(revision_name("vm", "u1.small", "v1beta1", "uid", 2), "vm-u1.small-v1beta1-uid-2");
        let long = revision_name(&"m".repeat(63), &"o".repeat(253), "v1beta1", &"u".repeat(36), 1);
        assert!(long.len() <= LONGEST && long.ends_with("-1"), "{long}");
    }

    #[test]
    fn the_instance_gets_what_its_machine_names_and_says_so() {
        let vm: VirtualMachine = serde_json::from_value(json!({"spec": {
            "instancetype": {"name": "small", "kind": "VirtualMachineInstancetype"},
            "template": {"spec": {"domain": {"devices": {}}}},
        }}))
        .unwrap();
        let specs = Specs {
            instancetype: serde_json::from_value(json!({"cpu": {"guest": 2}, "memory": {"guest": "64Mi"}}))
                .ok(),
            preference: None,
        };
        let expanded = expand(&vm, &specs, &KubeVirtConfiguration::default()).unwrap();
        let template = serde_json::to_value(&expanded.spec.template).unwrap();
        assert_eq!(template["metadata"]["annotations"]["kubevirt.io/instancetype-name"], "small");
        assert_eq!(template["spec"]["domain"]["cpu"]["sockets"], 2);
        let mut twice = vm;
        twice.spec.template = expanded.spec.template;
        let refused = expand(&twice, &specs, &KubeVirtConfiguration::default()).unwrap_err();
        assert!(refused.contains("spec.template.spec.domain.cpu.sockets"), "{refused}");
    }
}
