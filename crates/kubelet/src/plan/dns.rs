//! What a Pod's resolver should be.

use k8s_openapi::api::core::v1::PodSpec;
use network::resolver::{Base, PodDns, Resolver};

/// Reads `dnsPolicy` and `dnsConfig` of a Pod of `namespace`.
pub(super) fn of(namespace: &str, spec: &PodSpec) -> PodDns {
    let config = spec.dns_config.clone().unwrap_or_default();
    let options = config.options.into_iter().flatten().filter_map(|option| {
        let name = option.name?;
        Some(option.value.map_or_else(|| name.clone(), |value| format!("{name}:{value}")))
    });
    PodDns {
        base: match spec.dns_policy.as_deref() {
            Some("None") => Base::Nothing,
            Some("Default") => Base::Host,
            // No Pod of these nodes shares the host's network, for which `ClusterFirst` would mean the host's resolver.
            _ => Base::Cluster(namespace.to_owned()),
        },
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
        let dns = of("shop", &spec);
        assert_eq!(dns.base, Base::Nothing);
        assert_eq!(
            dns.own.to_text(),
            "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch x.example\noptions ndots:2 edns0\n"
        );
    }

    #[test]
    fn the_policy_says_what_they_are_added_to() {
        let shop = || Base::Cluster("shop".to_owned());
        for (policy, expected) in [
            (None, shop()),
            (Some("ClusterFirst"), shop()),
            (Some("ClusterFirstWithHostNet"), shop()),
            (Some("Default"), Base::Host),
            (Some("None"), Base::Nothing),
        ] {
            let spec = PodSpec { dns_policy: policy.map(str::to_owned), ..PodSpec::default() };
            assert_eq!(of("shop", &spec).base, expected, "{policy:?}");
        }
    }
}
