//! Rules of machines whose memory may grow while they run. An instance is not held to them: it grows only where its machine
//! has it grow.

use api::kubevirt::v1::VirtualMachineInstanceSpec;

use super::{Errors, Scope};
use crate::amount;

/// Memory comes and goes in blocks of this size, unless the guest's pages are larger.
const BLOCK: u64 = 2 << 20;
/// Size of the largest pages, and the least that a guest has whose memory may grow.
const GIB: u64 = 1 << 30;

/// Checks a template that says by itself how far its memory may grow.
pub(super) fn check(scope: &Scope<'_>, template: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let domain = &template.domain;
    let Some(memory) = domain.memory.as_ref().filter(|_| scope.config.live_update) else { return };
    let Some(most) = &memory.max_guest else { return };
    let guest = memory.guest.as_ref();
    let (bound, size) = (amount::bytes(most).unwrap_or(0), guest.and_then(amount::bytes));
    let pages = memory.hugepages.as_ref().and_then(|pages| pages.page_size.as_deref());
    let block = if pages == Some("1Gi") { GIB } else { BLOCK };
    let unit = if block == GIB { "1Gi" } else { "2Mi" };
    let cpu = domain.cpu.as_ref();
    let numa = cpu.and_then(|cpu| cpu.numa.as_ref());
    // The first that applies: each of them alone keeps the memory from growing.
    let rule = if cpu.is_some_and(|cpu| cpu.realtime.is_some()) {
        "the memory of a machine with cpu.realtime cannot grow; remove maxGuest".to_owned()
    } else if numa.is_some_and(|numa| numa.guest_mapping_passthrough.is_some()) {
        "the memory of a machine with numa.guestMappingPassthrough cannot grow; remove maxGuest".to_owned()
    } else if domain.launch_security.is_some() {
        "the memory of a machine with launchSecurity cannot grow; remove maxGuest".to_owned()
    } else if guest.is_none() {
        "maxGuest needs the memory that the guest starts with; set it".to_owned()
    } else if size.is_some_and(|size| size > bound) {
        format!("the guest starts with more memory than maxGuest, {most}; raise maxGuest")
    } else if !bound.is_multiple_of(block) {
        format!("maxGuest, {most}, is not a multiple of {unit}; make it one")
    } else if size.is_some_and(|size| size < GIB) {
        "memory can grow from 1Gi on; start with that much, or remove maxGuest".to_owned()
    } else if size.is_some_and(|size| !size.is_multiple_of(block)) {
        format!("memory that can grow is a multiple of {unit}; make it one")
    } else if scope.config.architecture(template.architecture.as_deref()) != "amd64" {
        "the memory of a machine can grow on amd64 alone; remove maxGuest".to_owned()
    } else {
        return;
    };
    errors.invalid(scope.at("domain.memory.guest"), guest.map(ToString::to_string), rule);
}

#[cfg(test)]
mod tests {
    use machinery::field::Path;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::ClusterConfig;

    #[test]
    fn memory_grows_where_the_machine_lets_it() {
        let cases = [
            (json!({"memory": {"guest": "1Gi", "maxGuest": "4Gi"}}), None),
            (json!({"memory": {"guest": "128Mi"}}), None),
            (json!({"memory": {"guest": "2Gi", "maxGuest": "1Gi"}}), Some("more memory than maxGuest, 1Gi")),
            (json!({"memory": {"guest": "256Mi", "maxGuest": "128Mi"}}), Some("more memory than maxGuest")),
            (json!({"memory": {"guest": "128Mi", "maxGuest": "1Gi"}}), Some("from 1Gi on")),
            (json!({"memory": {"maxGuest": "1Gi"}}), Some("set it")),
            (json!({"memory": {"guest": "1Gi", "maxGuest": "2147483649"}}), Some("not a multiple of 2Mi")),
            (json!({"memory": {"guest": "1100M", "maxGuest": "2Gi"}}), Some("multiple of 2Mi")),
            (
                json!({"memory": {"guest": "1536Mi", "maxGuest": "2Gi", "hugepages": {"pageSize": "1Gi"}}}),
                Some("multiple of 1Gi"),
            ),
            (
                json!({"memory": {"guest": "1Gi", "maxGuest": "2Gi"}, "cpu": {"realtime": {}}}),
                Some("cpu.realtime"),
            ),
            (
                json!({"memory": {"guest": "1Gi", "maxGuest": "2Gi"}, "launchSecurity": {"sev": {}}}),
                Some("launchSecurity"),
            ),
        ];
        let told = |config: &ClusterConfig, domain: &Value, architecture: &str| {
            let mut spec = json!({"architecture": architecture, "domain": domain});
            spec["domain"]["devices"] = json!({});
            let scope = Scope { path: Path::new("spec.template.spec"), config, instance: false };
            let mut errors = Errors::default();
            check(&scope, &serde_json::from_value(spec).unwrap(), &mut errors);
            errors.0.first().map(|error| (error.path.as_str().to_owned(), error.message()))
        };
        let live = ClusterConfig::default();
        for (domain, rule) in cases {
            let told = told(&live, &domain, "amd64");
            match rule {
                None => assert_eq!(told, None, "{domain}"),
                Some(rule) => {
                    let (path, sentence) = told.unwrap();
                    assert_eq!(path, "spec.template.spec.domain.memory.guest");
                    assert!(sentence.contains(rule), "{sentence}");
                }
            }
        }
        let bounded = json!({"memory": {"guest": "1Gi", "maxGuest": "2Gi"}});
        assert!(told(&live, &bounded, "arm64").unwrap().1.contains("amd64"));
        let mut staged = ClusterConfig::default();
        staged.live_update = false;
        assert_eq!(told(&staged, &json!({"memory": {"guest": "2Gi", "maxGuest": "1Gi"}}), "amd64"), None);
    }
}
