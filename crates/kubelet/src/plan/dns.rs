//! What a Pod's resolver should be.

use k8s_openapi::api::core::v1::PodSpec;
use network::resolver::{PodDns, Resolver};

/// Reads `dnsPolicy` and `dnsConfig`.
///
/// The embedded cluster has no name server of its own, so that `ClusterFirst` means the host's, as it does for a
/// Kubernetes kubelet that was not given one.
pub(super) fn of(spec: &PodSpec) -> PodDns {
    let config = spec.dns_config.clone().unwrap_or_default();
    let options = config.options.into_iter().flatten().filter_map(|option| {
        let name = option.name?;
        Some(option.value.map_or_else(|| name.clone(), |value| format!("{name}:{value}")))
    });
    PodDns {
        alone: spec.dns_policy.as_deref() == Some("None"),
        own: Resolver {
            servers: config.nameservers.into_iter().flatten().filter_map(|text| text.parse().ok()).collect(),
            search: config.searches.unwrap_or_default(),
            options: options.collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pods_own_entries_are_read() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [], "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.1", "2001:db8::1"], "searches": ["x.example"],
                          "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]},
        }))
        .expect("a specification");
        let dns = of(&spec);
        assert!(dns.alone);
        assert_eq!(
            dns.own.to_text(),
            "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch x.example\noptions ndots:2 edns0\n"
        );
        assert_eq!(of(&PodSpec::default()), PodDns::default());
    }
}
