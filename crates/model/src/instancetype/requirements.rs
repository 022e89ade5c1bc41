//! What a preference requires of a machine.

use api::kubevirt::v1::{CPU, VirtualMachine};
use machinery::field::{FieldError, Path, Problem};
use serde_json::Value;

use super::Specs;
use super::topology::{self, Preferred};
use crate::amount;
use crate::config::ClusterConfig;

/// Returns the first requirement that the machine does not meet. `expanded` is the machine with what it names.
pub(super) fn check(
    vm: &VirtualMachine,
    expanded: &VirtualMachine,
    specs: &Specs,
    config: &ClusterConfig,
) -> Option<FieldError> {
    let required = specs.preference.as_ref()?.requirements.as_ref()?;
    let spec = expanded.spec.template.spec.as_ref()?;
    if let Some(cpu) = &required.cpu {
        let (path, vcpus) = match &specs.instancetype {
            Some(instancetype) => ("spec.instancetype".to_owned(), instancetype.cpu.guest),
            None => of_machine(vm, specs),
        };
        if vcpus < cpu.guest {
            let rule = format!("the preference requires {} virtual processors there", cpu.guest);
            return Some(refuse(path, vcpus.into(), rule));
        }
    }
    if let Some(memory) = &required.memory {
        let path = match &specs.instancetype {
            Some(_) => "spec.instancetype",
            None => "spec.template.spec.domain.memory",
        };
        let guest = spec.domain.memory.as_ref().and_then(|memory| memory.guest.as_ref());
        let has = guest.and_then(amount::bytes).unwrap_or_default();
        if amount::bytes(&memory.guest).is_some_and(|needs| has < needs) {
            let shown = guest.map(|guest| guest.as_str().into()).unwrap_or_default();
            return Some(refuse(
                path.to_owned(),
                shown,
                format!("the preference requires {} of memory", memory.guest),
            ));
        }
    }
    if let Some(wanted) = required.architecture.as_deref().filter(|text| !text.is_empty()) {
        let own = config.architecture(spec.architecture.as_deref());
        if own != wanted {
            let path = "spec.template.spec.architecture".to_owned();
            return Some(refuse(
                path,
                own.into(),
                format!("the preference requires the architecture {wanted}"),
            ));
        }
    }
    None
}

/// Processors of a machine that says them itself: they count where the preference would put them.
fn of_machine(vm: &VirtualMachine, specs: &Specs) -> (String, u32) {
    let at = "spec.template.spec.domain.cpu";
    let Some(cpu) = vm.spec.template.spec.as_ref().and_then(|spec| spec.domain.cpu.as_ref()) else {
        return (at.to_owned(), 0);
    };
    let count = |count: Option<u32>| count.unwrap_or_default();
    match topology::preferred(specs.preference.as_ref()) {
        Preferred::Sockets => (format!("{at}.sockets"), count(cpu.sockets)),
        Preferred::Cores => (format!("{at}.cores"), count(cpu.cores)),
        Preferred::Threads => (format!("{at}.threads"), count(cpu.threads)),
        Preferred::Spread => (at.to_owned(), product(cpu)),
    }
}

fn product(cpu: &CPU) -> u32 {
    let factor = |count: Option<u32>| count.filter(|count| *count > 0).unwrap_or(1);
    factor(cpu.sockets).saturating_mul(factor(cpu.cores)).saturating_mul(factor(cpu.threads))
}

fn refuse(path: String, value: Value, rule: String) -> FieldError {
    FieldError::new(Path::new(path), Problem::NotFound, value, rule)
}
