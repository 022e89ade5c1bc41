//! Rules of instance types and preferences themselves.

use api::instancetype::v1beta1::{VirtualMachineInstancetypeSpec, VirtualMachinePreferenceSpec};
use machinery::field::{FieldError, Path, Problem};

use super::topology;

/// Checks an instance type.
pub fn instancetype(spec: &VirtualMachineInstancetypeSpec) -> Vec<FieldError> {
    let memory = &spec.memory;
    let percent = memory.overcommit_percent.unwrap_or_default();
    let at = Path::new("spec.memory.overcommitPercent");
    let mut errors = Vec::new();
    if !(0..=100).contains(&percent) {
        errors.push(FieldError::new(at, Problem::Invalid, percent.into(), "write a number from 0 to 100"));
    } else if percent > 0 && memory.hugepages.is_some() {
        let rule = "large pages are reserved whole: remove this or spec.memory.hugepages";
        errors.push(FieldError::new(at, Problem::Invalid, percent.into(), rule));
    }
    errors
}

/// Checks a preference.
pub fn preference(spec: &VirtualMachinePreferenceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(cpu) = &spec.cpu else { return errors };
    let at = Path::new("spec.cpu");
    if let Some(word) = cpu.preferred_cpu_topology.as_deref()
        && topology::parse(word).is_none()
    {
        let rule = "write sockets, cores, threads, spread or any";
        errors.push(FieldError::new(at.child("preferredCPUTopology"), Problem::Invalid, word.into(), rule));
    }
    let Some(options) = &cpu.spread_options else { return errors };
    let at = at.child("spreadOptions");
    match options.across.as_deref() {
        None | Some("" | "SocketsCores" | "SocketsCoresThreads") => {}
        Some("CoresThreads") => {
            if let Some(ratio) = options.ratio.filter(|ratio| !matches!(ratio, 0 | 2)) {
                let rule = "two threads share a core: write 2, or leave it out";
                errors.push(FieldError::new(at.child("ratio"), Problem::Invalid, ratio.into(), rule));
            }
        }
        Some(word) => {
            let rule = "write SocketsCores, SocketsCoresThreads or CoresThreads";
            errors.push(FieldError::new(at.child("across"), Problem::Invalid, word.into(), rule));
        }
    }
    errors
}
