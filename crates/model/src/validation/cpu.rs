//! Rules of processors.

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use api::quantity::Quantity;
use machinery::field::Problem;

use super::{Errors, Scope};
use crate::amount;

const POLICIES: [&str; 6] = ["", "force", "require", "optional", "disable", "forbid"];

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let resources = &spec.domain.resources;
    let request = resources.requests.get("cpu");
    let limit = resources.limits.get("cpu");
    for (name, value) in [("requests", request), ("limits", limit)] {
        if let Some(value) = value
            && amount::exact(value).is_ok_and(|amount| amount.is_negative())
        {
            errors.invalid(
                scope.at(&format!("domain.resources.{name}.cpu")),
                value.as_str(),
                "write an amount of at least 0",
            );
        }
    }
    if let (Some(asked), Some(most)) = (exact(request), exact(limit))
        && most.milli() > 0
        && asked > most
    {
        errors.invalid(
            scope.at("domain.resources.requests.cpu"),
            asked.canonical(),
            format!("the request exceeds the limit {}", most.canonical()),
        );
    }
    let Some(cpu) = &spec.domain.cpu else { return };
    for (index, feature) in cpu.features.iter().enumerate() {
        let policy = feature.policy.as_deref().unwrap_or_default();
        if !POLICIES.contains(&policy) {
            errors.add(
                Problem::NotSupported,
                scope.at(&format!("domain.cpu.features[{index}].policy")),
                policy,
                "write one of force, require, optional, disable, forbid",
            );
        }
    }
    if let (Some(sockets), Some(most)) = (cpu.sockets, cpu.max_sockets)
        && most > 0
        && sockets > most
    {
        errors.invalid(
            scope.at("domain.cpu.sockets"),
            sockets,
            format!("there are more sockets than maxSockets ({most}); raise maxSockets"),
        );
    }
    dedicated(scope, spec, errors);
    placement(scope, spec, errors);
}

fn exact(quantity: Option<&Quantity>) -> Option<machinery::quantity::Quantity> {
    quantity.and_then(|quantity| amount::exact(quantity).ok())
}

/// Rules of processors that belong to one machine.
fn dedicated(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let Some(cpu) = &spec.domain.cpu else { return };
    let at = scope.at("domain.cpu.dedicatedCpuPlacement");
    if cpu.dedicated_cpu_placement != Some(true) {
        if cpu.isolate_emulator_thread == Some(true) {
            errors.invalid(
                scope.at("domain.cpu.isolateEmulatorThread"),
                true,
                "an emulator thread of its own needs dedicatedCpuPlacement",
            );
        }
        return;
    }
    let resources = &spec.domain.resources;
    for (name, list) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        if let Some(amount) = exact(list.get("cpu"))
            && amount.as_integer().is_none()
        {
            errors.invalid(
                scope.at(&format!("domain.resources.{name}.cpu")),
                amount.canonical(),
                "dedicated processors are whole: write a whole number",
            );
            return;
        }
    }
    let request = exact(resources.requests.get("cpu"));
    let limit = exact(resources.limits.get("cpu"));
    if let (Some(request), Some(limit)) = (request, limit)
        && request != limit
    {
        errors.invalid(at.clone(), true, "dedicated processors need equal requests and limits of cpu");
    }
    let memory = (exact(resources.requests.get("memory")), exact(resources.limits.get("memory")));
    if let (Some(request), Some(limit)) = memory
        && request != limit
    {
        errors.invalid(
            scope.at("domain.resources.requests.memory"),
            request.canonical(),
            "dedicated processors need equal requests and limits of memory",
        );
    }
    let given = request.or(limit).and_then(|amount| amount.as_integer());
    let count = i64::from(crate::resources::topology(&spec.domain).count());
    if given.is_some_and(|given| given > 0 && given != count) {
        errors.invalid(
            at.clone(),
            true,
            "give the number of processors once: by cores, sockets and threads, or by resources.requests.cpu",
        );
    }
    if let Some(threads) = cpu.threads.filter(|threads| *threads > 2) {
        errors.invalid(at, threads, "a dedicated core has at most two threads; set threads to 1 or 2");
    }
}

/// Rules of processors laid out like the host's.
fn placement(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let Some(cpu) = &spec.domain.cpu else { return };
    let mapped = cpu.numa.as_ref().is_some_and(|numa| numa.guest_mapping_passthrough.is_some());
    let dedicated = cpu.dedicated_cpu_placement == Some(true);
    let at = scope.at("domain.cpu.numa.guestMappingPassthrough");
    if mapped {
        if !dedicated {
            errors.invalid(at.clone(), (), "the host's NUMA layout needs dedicatedCpuPlacement");
        }
        if spec.domain.memory.as_ref().is_none_or(|memory| memory.hugepages.is_none()) {
            errors.invalid(at.clone(), (), "the host's NUMA layout needs memory.hugepages");
        }
    }
    if cpu.realtime.is_some() {
        if !dedicated {
            errors.add(
                Problem::Required,
                scope.at("domain.cpu.dedicatedCpuPlacement"),
                (),
                "a real-time machine needs dedicated processors",
            );
        }
        if !mapped {
            errors.add(Problem::Required, at, (), "a real-time machine needs the host's NUMA layout");
        }
    }
    let pool = spec.domain.io_threads_policy.as_deref() == Some("supplementalPool");
    let count = spec.domain.io_threads.as_ref().and_then(|threads| threads.supplemental_pool_thread_count);
    if pool && count.unwrap_or(0) == 0 {
        errors.invalid(
            scope.at("domain.ioThreads.count"),
            0,
            "a supplemental pool needs ioThreads.supplementalPoolThreadCount of at least 1",
        );
    }
    if let Some(policy) = spec.domain.io_threads_policy.as_deref()
        && !["shared", "auto", "supplementalPool"].contains(&policy)
    {
        errors.invalid(
            scope.at("domain.ioThreadsPolicy"),
            policy,
            "write one of shared, auto, supplementalPool",
        );
    }
}
