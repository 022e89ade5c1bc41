//! What of a Service needs a packet filter, so that a node without one leaves it undone and says so.

use k8s_openapi::api::core::v1::Service;

/// Returns what a node that only carries connections to its own ports does not do of what `service` asks for, as
/// fields with their values; an address that every Service has counts where no port of the node leads to it.
pub fn unserved(service: &Service) -> Vec<String> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    let address = spec.cluster_ip.as_deref().filter(|address| !matches!(*address, "" | "None"));
    let mut fields = Vec::new();
    if let Some(address) = address.filter(|_| kind == "ClusterIP") {
        fields.push(format!("spec.clusterIP {address}"));
    }
    let external: Vec<&str> = spec.external_ips.iter().flatten().map(String::as_str).collect();
    if !external.is_empty() {
        fields.push(format!("spec.externalIPs {}", external.join(", ")));
    }
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        fields.push("spec.sessionAffinity ClientIP".to_owned());
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_needs_a_packet_filter_is_named() {
        let table = [
            (json!({"type": "ClusterIP", "clusterIP": "10.96.0.7"}), vec!["spec.clusterIP 10.96.0.7"]),
            (json!({"clusterIP": "None"}), vec![]),
            (json!({"type": "ExternalName", "externalName": "a.example"}), vec![]),
            (json!({"type": "NodePort", "clusterIP": "10.96.0.7", "sessionAffinity": "None"}), vec![]),
            (
                json!({"type": "NodePort", "clusterIP": "10.96.0.7", "sessionAffinity": "ClientIP",
                    "externalIPs": ["192.0.2.1", "192.0.2.2"]}),
                vec!["spec.externalIPs 192.0.2.1, 192.0.2.2", "spec.sessionAffinity ClientIP"],
            ),
        ];
        for (spec, expected) in table {
            let service = serde_json::from_value(json!({"spec": spec})).expect("a Service");
            assert_eq!(unserved(&service), expected, "{spec}");
        }
    }
}
