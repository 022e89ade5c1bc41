//! Revisions of a pool's template: what a machine was made from, what its instance was, and what the difference means.

use std::collections::BTreeMap;

use api::pool::v1beta1::VirtualMachineTemplateSpec;
use serde_json::Value;

/// The template as it is, and as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revisions {
    /// As it is.
    pub current: Value,
    /// As revisions that are kept say, by name.
    pub kept: BTreeMap<String, Value>,
}

/// What brings an instance to the revision of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Nothing,
    /// Saying that it is there: the two revisions differ in what does not reach instances.
    Label,
    /// A new instance.
    Restart,
    /// A new machine: its disks are made of something else.
    Replace,
}

/// Returns the name of the revision that keeps a generation of a pool.
pub fn name(pool: &str, generation: i64) -> String {
    format!("{pool}-{generation}")
}

/// Returns the template that the content of a revision holds, in one spelling, so that templates can be compared.
pub fn template(content: &Value) -> Value {
    let written = content.get("virtualMachineTemplate").cloned().unwrap_or_default();
    match serde_json::from_value::<VirtualMachineTemplateSpec>(written.clone()) {
        Ok(template) => serde_json::to_value(template).unwrap_or(written),
        Err(_) => written,
    }
}

impl Revisions {
    /// Returns the newest revision that holds the template as it is.
    pub(super) fn in_force(&self) -> Option<&str> {
        let number =
            |name: &str| name.rsplit_once('-').and_then(|(_, generation)| generation.parse::<i64>().ok());
        let current = self.kept.iter().filter(|(_, template)| **template == self.current);
        current.map(|(name, _)| name.as_str()).max_by_key(|name| number(name))
    }

    /// Tells whether a machine of `revision` is not what the template says.
    pub(super) fn is_outdated(&self, revision: Option<&str>) -> bool {
        revision.and_then(|name| self.kept.get(name)) != Some(&self.current)
    }

    /// Compares the revision of a machine with that of its instance.
    pub(super) fn change(&self, machine: Option<&str>, instance: Option<&str>) -> Change {
        // A machine without a revision gets one first.
        let Some((name, wanted)) = machine.and_then(|name| self.kept.get_key_value(name)) else {
            return Change::Nothing;
        };
        if instance == Some(name.as_str()) {
            return Change::Nothing;
        }
        let Some(found) = instance.and_then(|name| self.kept.get(name)) else { return Change::Restart };
        let differ = |part: &str| wanted.pointer(part) != found.pointer(part);
        if differ("/spec/dataVolumeTemplates") {
            Change::Replace
        } else if differ("/spec/template") {
            Change::Restart
        } else {
            Change::Label
        }
    }
}
