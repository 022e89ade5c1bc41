//! A memory limit below the guest's memory.
//!
//! Admission lets it in, as clients of the API expect: a running machine's memory may be lowered. But a machine does not
//! start with it, or is ended as soon as its guest uses what it has.

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use machinery::quantity::Quantity;

use crate::amount;
use crate::resources::guest_memory;

/// Says that a specification at `base` (`spec`, or `spec.template.spec`) limits its Pod to less memory than its guest has.
pub fn memory_limit(base: &str, spec: &VirtualMachineInstanceSpec) -> Option<String> {
    let domain = &spec.domain;
    // Huge pages are counted apart; their Pod has no limit of ordinary memory.
    if domain.memory.as_ref().is_some_and(|memory| memory.hugepages.is_some()) {
        return None;
    }
    let limit = domain.resources.limits.get("memory")?;
    let (most, guest) = (amount::bytes(limit).filter(|bytes| *bytes > 0)?, guest_memory(domain)?);
    (guest > most).then(|| {
        let guest = Quantity::from_bytes(guest).canonical();
        format!(
            "{base}.domain.resources.limits.memory is {limit}, less than the guest's memory, {guest}; raise it to {guest} at \
             least, or remove it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_limit_below_the_guest_is_named_with_both_figures() {
        let told = |domain: Value| {
            let mut domain = domain;
            domain["devices"] = json!({});
            let spec = serde_json::from_value(json!({ "domain": domain })).unwrap();
            memory_limit("spec", &spec)
        };
        let limits = json!({"limits": {"memory": "64Mi"}});
        assert_eq!(
            told(json!({"memory": {"guest": "131072Ki"}, "resources": limits})).unwrap(),
            "spec.domain.resources.limits.memory is 64Mi, less than the guest's memory, 128Mi; raise it to 128Mi at least, \
             or remove it"
        );
        for harmless in [
            json!({"memory": {"guest": "64Mi"}, "resources": limits}),
            json!({"resources": limits}),
            json!({"memory": {"guest": "64Mi"}, "resources": {"limits": {"memory": "0"}}}),
            json!({"memory": {"guest": "128Mi", "hugepages": {"pageSize": "2Mi"}}, "resources": limits}),
        ] {
            assert_eq!(told(harmless.clone()), None, "{harmless}");
        }
    }
}
