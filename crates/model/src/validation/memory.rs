//! Rules of memory.

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use api::quantity::Quantity;
use machinery::field::{Path, Problem};

use super::{Errors, Scope};
use crate::amount;

/// Smallest request: one megabyte.
const MIN_REQUEST: i64 = 1_000_000;

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let domain = &spec.domain;
    let memory = domain.memory.as_ref();
    let request = domain.resources.requests.get("memory");
    let limit = domain.resources.limits.get("memory");
    let hugepages = memory.and_then(|memory| memory.hugepages.as_ref());
    let guest = memory.and_then(|memory| memory.guest.as_ref());

    if scope.instance && guest.is_none() && hugepages.is_none() && request.is_none() {
        // Three fields would do, so clients are told of none of them.
        errors.add(
            Problem::Required,
            Path::root(),
            (),
            format!(
                "the instance has no memory: set {}, for example to 1Gi",
                scope.at("domain.memory.guest")
            ),
        );
    }
    let request_path = scope.at("domain.resources.requests.memory");
    if let Some(asked) = request.and_then(|request| amount::exact(request).ok()) {
        if asked.ceil() < MIN_REQUEST {
            errors.invalid(request_path.clone(), text(request), "ask for at least 1M");
        }
        if let Some(limit) = limit.and_then(|limit| amount::exact(limit).ok())
            && limit.ceil() > 0
            && asked > limit
        {
            errors.invalid(
                request_path.clone(),
                text(request),
                format!(
                    "the request exceeds the limit {}; lower it or raise {}",
                    limit.canonical(),
                    scope.at("domain.resources.limits.memory")
                ),
            );
        }
    }
    if let Some(limit_amount) = limit.and_then(amount::bytes)
        && !scope.config.live_update
        && guest.and_then(amount::bytes).is_some_and(|guest| guest > limit_amount)
    {
        errors.invalid(
            scope.at("domain.memory.guest"),
            text(guest),
            "the guest's memory exceeds the memory limit; raise the limit",
        );
    }
    if let Some(hugepages) = hugepages {
        let size = hugepages.page_size.clone().unwrap_or_default();
        let path = scope.at("domain.memory.hugepages.pageSize");
        match amount::exact(&size.as_str().into()) {
            Err(error) => errors.invalid(path, size, error.to_string()),
            Ok(page) => {
                let page = u64::try_from(page.ceil()).unwrap_or(0);
                let total = guest.or(request).and_then(amount::bytes).unwrap_or(0);
                if total < page {
                    errors.invalid(
                        request_path,
                        text(request),
                        format!("the memory is smaller than one page of {size}"),
                    );
                } else if page > 0 && !total.is_multiple_of(page) {
                    errors.invalid(
                        request_path,
                        text(request),
                        format!("the memory is not a whole number of pages of {size}"),
                    );
                }
            }
        }
    }
    let reserved = memory.and_then(|memory| memory.reserved_overhead.as_ref());
    if reserved.is_some_and(|reserved| reserved.mem_lock.is_some())
        && !scope.config.gate("ReservedOverheadMemlock")
    {
        errors.gate(scope.at("domain.memory.reservedOverhead.memLock"), (), "ReservedOverheadMemlock");
    }
}

fn text(quantity: Option<&Quantity>) -> String {
    quantity.map_or_else(|| "0".to_owned(), ToString::to_string)
}
