//! A node's packet filter, as the text that is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1;
use plan::endpoints::{self, Pod};
use plan::traffic::{LocalNode, Policy, Service, Tables, policies, services};
use serde_json::{Value, json};

use super::endpoints::{known, pod, service};

fn reviewed(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

fn rules(spec: Value, pods: &[v1::Pod]) -> String {
    let service = service(spec);
    let facts: Vec<Pod> = pods.iter().map(known).collect();
    let slices = endpoints::slices(&endpoints::Service::of(&service).unwrap(), &facts);
    let slices: Vec<_> = slices.iter().collect();
    let addresses: BTreeSet<Ipv4Addr> =
        facts.iter().filter_map(|pod| pod.address.as_deref()?.parse().ok()).collect();
    let service = Service::of(&service, &slices, "node-0");
    services(&service.into_iter().collect::<Vec<_>>(), &addresses, "iv0*")
}

#[test]
fn a_service_with_node_ports() {
    let web = json!({"app": "web"});
    let mut far = pod("far", "10.244.1.7", web.clone(), true);
    far.spec.as_mut().unwrap().node_name = Some("node-1".into());
    let pods = [pod("a", "10.244.0.2", web.clone(), true), pod("b", "10.244.0.3", web.clone(), true), far];
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.80"], "selector": web,
        "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local",
        "ports": [
            {"name": "www", "port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30080},
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353, "nodePort": 30053},
            {"name": "gone", "port": 9, "protocol": "TCP", "targetPort": "nobody", "nodePort": 30009},
        ],
    });
    reviewed("traffic-node-ports", &rules(spec, &pods));
}

#[test]
fn headless_services_have_no_rules_and_one_without_pods_refuses() {
    let ports = json!([{"port": 80, "protocol": "TCP"}]);
    let headless = json!({"clusterIP": "None", "selector": {"app": "web"}, "ports": ports});
    assert_eq!(rules(headless, &[pod("a", "10.244.0.2", json!({"app": "web"}), true)]), "");
    let empty = json!({"clusterIP": "10.96.0.9", "selector": {"app": "web"}, "ports": ports});
    assert!(rules(empty, &[]).contains("10.96.0.9 . tcp . 80"));
}

#[test]
fn what_belongs_to_others_cannot_be_claimed() {
    let pods = BTreeSet::from(["10.244.0.2".parse().unwrap()]);
    let of = |cluster_ip: &str, external: &[&str]| {
        let spec = json!({"clusterIP": cluster_ip, "externalIPs": external,
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]});
        Service::of(&service(spec), &[], "node-0").unwrap()
    };
    // Whoever comes first: the claim is as little worth before its victim as after it.
    let thief = of("10.96.0.66", &["10.96.0.9", "10.244.0.2", "192.0.2.80"]);
    let victim = of("10.96.0.9", &["192.0.2.80"]);
    for all in [[thief.clone(), victim.clone()], [victim, thief]] {
        let text = services(&all, &pods, "iv0*");
        for (key, times) in [
            ("10.96.0.9 . tcp . 80", 1),
            ("10.96.0.66 . tcp . 80", 1),
            ("192.0.2.80 . tcp . 80", 1),
            ("10.244.0.2 . tcp", 0),
            ("tcp . 30080", 1),
        ] {
            assert_eq!(text.matches(key).count(), times, "{key}:\n{text}");
        }
    }
}

fn policy(name: &str, spec: Value) -> Policy {
    Policy::of(
        &serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}))
            .unwrap(),
    )
}

#[test]
fn policies_of_a_shop() {
    let mut stranger = pod("stranger", "10.244.1.9", json!({"app": "web"}), true);
    stranger.metadata.namespace = Some("other".into());
    stranger.spec.as_mut().unwrap().node_name = Some("node-1".into());
    let mut pods: Vec<Pod> = [
        pod("web", "10.244.0.2", json!({"app": "web"}), true),
        pod("db", "10.244.0.3", json!({"app": "db"}), true),
        stranger,
    ]
    .iter()
    .map(known)
    .collect();
    let namespaces = BTreeMap::from([
        ("shop".to_owned(), BTreeMap::new()),
        ("other".to_owned(), BTreeMap::from([("team".to_owned(), "red".to_owned())])),
    ]);
    let all = [
        policy("deny-all", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
        policy(
            "db",
            json!({
                "podSelector": {"matchLabels": {"app": "db"}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                     "ports": [{"port": 5432}, {"protocol": "UDP", "port": 6000, "endPort": 6010}, {"protocol": "SCTP"}]},
                    {"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}, "podSelector": {}}],
                     "ports": [{"port": "http"}]},
                    {"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]},
                ],
                "egress": [
                    {"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}},
                            {"ipBlock": {"cidr": "2001:db8::/32"}}]},
                    {"ports": [{"protocol": "UDP", "port": 53}]},
                ],
            }),
        ),
        policy(
            "all-out",
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{}]}),
        ),
    ];
    let node = LocalNode { name: "node-0".into(), links: "iv000001p*".into() };
    let tables = policies(&all, &pods, &namespaces, &node);
    reviewed("traffic-policies", &tables.ip);
    assert_eq!(tables.ip6, "", "no Pod has such an address");
    for (pod, last) in pods.iter_mut().zip(2..) {
        pod.address6 = Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    }
    let both = policies(&all, &pods, &namespaces, &node);
    assert_eq!(both.ip, tables.ip);
    reviewed("traffic-policies-ipv6", &both.ip6);
    let elsewhere = LocalNode { name: "node-2".into(), ..node };
    assert_eq!(policies(&all, &pods, &namespaces, &elsewhere), Tables::default(), "no Pod of that node");
}

#[test]
fn policies_speak_of_the_name_server_as_of_a_pod() {
    let service: v1::Service = serde_json::from_value(json!({
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    }))
    .unwrap();
    let slice = serde_json::from_value(json!({
        "addressType": "IPv4", "metadata": {},
        "endpoints": [
            {"addresses": ["10.244.0.254"]},
            {"addresses": ["10.244.0.9"], "targetRef": {"kind": "Pod", "name": "another"}},
        ],
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
    }))
    .unwrap();
    let mut pods = vec![known(&pod("web", "10.244.0.2", json!({"app": "web"}), true))];
    pods.extend(plan::traffic::name_servers(&service, &[&slice]));
    let namespaces =
        BTreeMap::from([("shop".to_owned(), BTreeMap::new()), ("kube-system".to_owned(), BTreeMap::new())]);
    let ask = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}});
    let all = [policy(
        "names",
        json!({"podSelector": {}, "policyTypes": ["Egress"],
               "egress": [{"to": [ask], "ports": [{"port": 53, "protocol": "UDP"}, {"port": "dns", "protocol": "UDP"}]}]}),
    )];
    let node = LocalNode { name: "node-0".into(), links: "iv000001p*".into() };
    let rules = policies(&all, &pods, &namespaces, &node).ip;
    assert!(rules.contains("ip daddr { 10.244.0.254 } udp dport 53 accept"), "{rules}");
    assert!(!rules.contains("10.244.0.9"), "a Pod stands for itself: {rules}");
}
