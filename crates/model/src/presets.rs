//! What presets add to an instance as it is created.
//!
//! A preset belongs to a namespace and chooses instances by labels. It sets what an instance leaves open; where both say
//! something, the instance's own counts. Only a few fields of a preset count at all; the table of fields names them.
//! Presets that disagree with each other cannot both be meant, so that an instance which both choose is refused.

use api::kubevirt::v1::{Clock, DomainSpec, VirtualMachineInstance, VirtualMachineInstancePreset};
use api::names::annotation;
use k8s_openapi::Resource as _;
use machinery::selector::{LabelSelector, SelectorError};
use serde::Serialize;
use serde_json::Value;

use crate::amount;

/// An instance with this annotation, set to `true`, wants no presets.
const EXCLUDE: &str = "virtualmachineinstancepresets.admission.kubevirt.io/exclude";

/// What an instance is told that a preset reached, in the words of the reference, which its clients know.
pub const DEPRECATED: &str =
    "kubevirt.io/v1 VirtualMachineInstancePresets is now deprecated and will be removed in v2.";

/// Why no preset can be applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// Whom a preset chooses cannot be told.
    #[error(
        "the preset {preset} chooses by a selector that cannot be read ({source}): correct its spec.selector"
    )]
    Selector {
        /// Name of the preset.
        preset: String,
        /// What is wrong with it.
        source: SelectorError,
    },
    /// Two presets choose the instance and say different things.
    #[error(
        "the presets {first} and {second} both fit the labels of the instance and disagree on {fields}: make them say the \
         same, choose by other labels, or annotate the instance with {EXCLUDE}: \"true\""
    )]
    Conflict {
        /// Name of a preset.
        first: String,
        /// Name of the other.
        second: String,
        /// What they disagree on.
        fields: String,
    },
}

/// Returns whether the instance wants presets.
pub fn wanted(vmi: &VirtualMachineInstance) -> bool {
    let annotations = vmi.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(EXCLUDE)).is_none_or(|excluded| excluded != "true")
}

/// Returns whether a preset has reached the instance.
pub fn marked(vmi: &VirtualMachineInstance) -> bool {
    vmi.metadata.annotations.iter().flatten().any(|(name, _)| name.starts_with(annotation::PRESET))
}

/// Applies the presets of the instance's namespace that choose it, in the order of their names, and marks the instance
/// with those that it agrees with. Returns what the instance decides otherwise than a preset, a sentence for each.
pub fn apply(
    vmi: &mut VirtualMachineInstance,
    presets: &[VirtualMachineInstancePreset],
) -> Result<Vec<String>, PresetError> {
    let mut chosen = Vec::new();
    for preset in presets {
        if let Some(domain) = preset.spec.domain.as_ref().filter(|_| wanted(vmi))
            && chooses(preset, vmi)?
        {
            chosen.push((preset.metadata.name.as_deref().unwrap_or_default(), domain));
        }
    }
    chosen.sort_by_key(|(name, _)| *name);
    for (at, (second, other)) in chosen.iter().enumerate() {
        for (first, domain) in &chosen[..at] {
            let fields = differences(domain, other);
            if !fields.is_empty() {
                let (first, second) = ((*first).to_owned(), (*second).to_owned());
                return Err(PresetError::Conflict { first, second, fields: fields.join(", ") });
            }
        }
    }
    let mut sentences = Vec::new();
    for (name, preset) in chosen {
        let merged = Merge::of(preset, &mut vmi.spec.domain);
        if merged.applied {
            let mark = format!("{}{name}", annotation::PRESET);
            let version = VirtualMachineInstance::API_VERSION.to_owned();
            vmi.metadata.annotations.get_or_insert_default().insert(mark, version);
        }
        sentences.extend(merged.own.iter().map(|field| {
            format!("spec.domain.{field} is the instance's own, not that of the preset {name}")
        }));
    }
    Ok(sentences)
}

fn chooses(preset: &VirtualMachineInstancePreset, vmi: &VirtualMachineInstance) -> Result<bool, PresetError> {
    let written = serde_json::to_value(&preset.spec.selector).unwrap_or_default();
    let labels = vmi.metadata.labels.as_ref();
    let selector = LabelSelector::from_object(&written).map_err(|source| PresetError::Selector {
        preset: preset.metadata.name.clone().unwrap_or_default(),
        source,
    })?;
    Ok(selector.matches_labels(|label| labels.and_then(|labels| labels.get(label)).map(String::as_str)))
}

/// Returns the fields that two presets set differently.
fn differences(one: &DomainSpec, other: &DomainSpec) -> Vec<String> {
    fn differ<T: Serialize>(one: Option<&T>, other: Option<&T>) -> bool {
        one.zip(other).is_some_and(|(one, other)| !is_same(one, other))
    }
    let mut fields = Vec::new();
    let mut note = |field: &str, differs: bool| {
        if differs {
            fields.push(format!("spec.domain.{field}"));
        }
    };
    let timers = |domain: &'_ DomainSpec| domain.clock.as_ref().and_then(|clock| clock.timer.clone());
    note("clock", differ(one.clock.as_ref().map(offset).as_ref(), other.clock.as_ref().map(offset).as_ref()));
    note("clock.timer", differ(timers(one).as_ref(), timers(other).as_ref()));
    note("cpu", differ(one.cpu.as_ref(), other.cpu.as_ref()));
    note("devices.watchdog", differ(one.devices.watchdog.as_ref(), other.devices.watchdog.as_ref()));
    note("features", differ(one.features.as_ref(), other.features.as_ref()));
    note("firmware", differ(one.firmware.as_ref(), other.firmware.as_ref()));
    note("ioThreadsPolicy", differ(one.io_threads_policy.as_ref(), other.io_threads_policy.as_ref()));
    for (name, amount) in &one.resources.requests {
        let amounts = other.resources.requests.get(name).map(|other| (exact(amount), exact(other)));
        note(&format!("resources.requests[{name}]"), amounts.is_some_and(|(amount, other)| amount != other));
    }
    fields
}

/// What a clock shows, without what drives it.
fn offset(clock: &Clock) -> impl Serialize + PartialEq + use<> {
    (clock.utc.clone(), clock.timezone.clone())
}

/// Whether two settings are one. What is written as nothing (`false`, `0`, an empty text) is not there: in the reference,
/// numbers, texts and switches directly below a setting are plain values.
fn is_same<T: Serialize>(one: &T, other: &T) -> bool {
    let said = |setting: &T| {
        let mut written = serde_json::to_value(setting).unwrap_or_default();
        if let Value::Object(fields) = &mut written {
            fields.retain(|_, value| *value != false && *value != 0 && *value != "");
        }
        written
    };
    said(one) == said(other)
}

/// An amount by its value, so that `1Gi` and `1024Mi` are one.
fn exact(amount: &api::quantity::Quantity) -> Option<machinery::quantity::Quantity> {
    amount::exact(amount).ok()
}

/// What becomes of a preset's fields in an instance.
#[derive(Default)]
struct Merge {
    /// Whether the instance has at least one of them as the preset says.
    applied: bool,
    /// Those that the instance decides otherwise.
    own: Vec<&'static str>,
}

impl Merge {
    fn of(preset: &DomainSpec, domain: &mut DomainSpec) -> Self {
        let mut merge = Self::default();
        merge.requests(preset, domain);
        merge.field("cpu", preset.cpu.as_ref(), &mut domain.cpu);
        merge.field("firmware", preset.firmware.as_ref(), &mut domain.firmware);
        merge.clock(preset, domain);
        merge.field("features", preset.features.as_ref(), &mut domain.features);
        merge.field("devices.watchdog", preset.devices.watchdog.as_ref(), &mut domain.devices.watchdog);
        merge.field("ioThreadsPolicy", preset.io_threads_policy.as_ref(), &mut domain.io_threads_policy);
        merge
    }

    fn field<T: Clone + Serialize>(&mut self, name: &'static str, preset: Option<&T>, own: &mut Option<T>) {
        if let Some(preset) = preset {
            let same = is_same(own.get_or_insert_with(|| preset.clone()), preset);
            self.note(name, same);
        }
    }

    fn note(&mut self, name: &'static str, same: bool) {
        self.applied |= same;
        if !same {
            self.own.push(name);
        }
    }

    /// Requests come whole or not at all.
    fn requests(&mut self, preset: &DomainSpec, domain: &mut DomainSpec) {
        let (preset, own) = (&preset.resources.requests, &mut domain.resources.requests);
        if preset.is_empty() {
            return;
        }
        if own.is_empty() {
            own.clone_from(preset);
        }
        let same = own.len() == preset.len()
            && own.iter().all(|(name, amount)| preset.get(name).map(exact) == Some(exact(amount)));
        self.note("resources.requests", same);
    }

    /// An instance without a clock gets offset and timers, one with a clock of its own the timers that it lacks.
    fn clock(&mut self, preset: &DomainSpec, domain: &mut DomainSpec) {
        let Some(preset) = &preset.clock else { return };
        let own = domain.clock.get_or_insert_with(|| Clock { timer: None, ..preset.clone() });
        match &preset.timer {
            Some(timer) => {
                let same = own.timer.get_or_insert_with(|| timer.clone()) == timer;
                self.note("clock.timer", same);
            }
            None => self.applied |= own == preset,
        }
        if offset(own) != offset(preset) {
            self.own.push("clock");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(domain: Value) -> VirtualMachineInstance {
        let object =
            json!({"metadata": {"name": "i", "labels": {"size": "small"}}, "spec": {"domain": domain}});
        serde_json::from_value(object).unwrap()
    }

    fn preset(name: &str, domain: Value) -> VirtualMachineInstancePreset {
        let selector = json!({"matchLabels": {"size": "small"}});
        let object = json!({"metadata": {"name": name}, "spec": {"selector": selector, "domain": domain}});
        serde_json::from_value(object).unwrap()
    }

    fn marks(vmi: &VirtualMachineInstance) -> Vec<String> {
        vmi.metadata.annotations.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// What a preset alone makes of an instance's domain, whether it marks it, and what stays the instance's own.
    fn merged(own: Value, said: Value) -> (Value, bool, usize) {
        let mut vmi = instance(own);
        let sentences = apply(&mut vmi, &[preset("p", said)]).unwrap();
        let mut domain = serde_json::to_value(&vmi.spec.domain).unwrap();
        let fields = domain.as_object_mut().unwrap();
        fields.retain(|_, value| !value.as_object().is_some_and(serde_json::Map::is_empty));
        (domain, marked(&vmi), sentences.len())
    }

    #[test]
    fn what_an_instance_leaves_open_is_set_and_what_it_says_counts() {
        let watchdog = json!({"name": "w", "i6300esb": {"action": "reset"}});
        let timer = json!({"hpet": {"present": false}});
        let utc = json!({"utc": {}, "timer": timer});
        let request = |amount: &str| json!({"resources": {"requests": {"memory": amount}}});
        let one = json!({"cpu": {"cores": 1}});
        for (own, said, becomes, marked, kept) in [
            (json!({}), one.clone(), one.clone(), true, 0),
            (one.clone(), one.clone(), one.clone(), true, 0),
            (one.clone(), json!({"cpu": {"cores": 2}}), one.clone(), false, 1),
            // A setting that agrees is enough for the mark, as in the reference.
            (
                one.clone(),
                json!({"cpu": {"cores": 2}, "firmware": {"serial": "s"}}),
                json!({"cpu": {"cores": 1}, "firmware": {"serial": "s"}}),
                true,
                1,
            ),
            (request("1Gi"), request("1024Mi"), request("1Gi"), true, 0),
            (request("1Gi"), json!({"resources": {"requests": {"cpu": "1"}}}), request("1Gi"), false, 1),
            (json!({}), json!({"clock": utc}), json!({"clock": utc}), true, 0),
            (
                json!({"clock": {"timezone": "Europe/Vienna"}}),
                json!({"clock": utc}),
                json!({"clock": {"timezone": "Europe/Vienna", "timer": timer}}),
                true,
                1,
            ),
            (
                json!({"cpu": {"cores": 2, "dedicatedCpuPlacement": false, "model": ""}}),
                json!({"cpu": {"cores": 2, "sockets": 0}}),
                json!({"cpu": {"cores": 2, "dedicatedCpuPlacement": false, "model": ""}}),
                true,
                0,
            ),
            (
                json!({}),
                json!({"devices": {"watchdog": watchdog}, "ioThreadsPolicy": "auto", "features": {"smm": {}}}),
                json!({
                    "devices": {"watchdog": watchdog}, "ioThreadsPolicy": "auto",
                    "features": {"acpi": {}, "smm": {}},
                }),
                true,
                0,
            ),
            // Presets set no more than that.
            (json!({}), json!({"memory": {"guest": "1Gi"}, "machine": {"type": "q35"}}), json!({}), false, 0),
        ] {
            assert_eq!(merged(own, said.clone()), (becomes, marked, kept), "{said}");
        }
    }

    #[test]
    fn labels_choose_and_an_annotation_declines() {
        let mut other = preset("other", json!({"cpu": {"cores": 2}}));
        other.spec.selector = serde_json::from_value(json!({"matchLabels": {"size": "large"}})).unwrap();
        let presets = [other.clone(), preset("mine", json!({"cpu": {"cores": 1}}))];
        let mut vmi = instance(json!({}));
        apply(&mut vmi, &presets).unwrap();
        assert_eq!(marks(&vmi), ["virtualmachinepreset.kubevirt.io/mine=kubevirt.io/v1"]);

        let mut declined = instance(json!({}));
        declined.metadata.annotations = Some([(EXCLUDE.to_owned(), "true".to_owned())].into());
        let before = declined.clone();
        apply(&mut declined, &presets).unwrap();
        assert_eq!(declined, before);

        other.spec.selector = serde_json::from_value(json!({})).unwrap();
        assert!(
            matches!(apply(&mut vmi, &[other.clone()]), Ok(kept) if kept.len() == 1),
            "a selector that asks for nothing fits everything"
        );
        let broken = json!({"matchExpressions": [{"key": "a", "operator": "Zz"}]});
        other.spec.selector = serde_json::from_value(broken).unwrap();
        let refused = apply(&mut vmi, &[other]).unwrap_err().to_string();
        assert!(refused.contains("the preset other") && refused.contains("Zz"), "{refused}");
    }

    #[test]
    fn presets_that_disagree_are_refused_whatever_the_instance_says() {
        let table = [
            (json!({"cpu": {"cores": 1}}), json!({"cpu": {"cores": 2}}), Some("spec.domain.cpu")),
            (json!({"cpu": {"cores": 1}}), json!({"firmware": {"serial": "s"}}), None),
            (
                json!({"cpu": {"cores": 1, "isolateEmulatorThread": false}}),
                json!({"cpu": {"cores": 1}}),
                None,
            ),
            (
                json!({"features": {"acpi": {"enabled": false}}}),
                json!({"features": {"acpi": {}}}),
                Some("spec.domain.features"),
            ),
            (
                json!({"resources": {"requests": {"memory": "1Gi", "cpu": "1"}}}),
                json!({"resources": {"requests": {"memory": "2Gi", "cpu": "1000m"}}}),
                Some("spec.domain.resources.requests[memory]"),
            ),
            (json!({"clock": {"utc": {}}}), json!({"clock": {"timezone": "UTC"}}), Some("spec.domain.clock")),
        ];
        for (one, other, disagreement) in table {
            let mut vmi = instance(json!({"cpu": {"cores": 4}}));
            let refused = apply(&mut vmi, &[preset("b", one), preset("a", other)]).err();
            let fields = refused.map(|refused| match refused {
                PresetError::Conflict { first, second, fields } => {
                    assert_eq!((&*first, &*second), ("a", "b"));
                    fields
                }
                other @ PresetError::Selector { .. } => panic!("{other}"),
            });
            assert_eq!(fields.as_deref(), disagreement);
        }
    }
}
