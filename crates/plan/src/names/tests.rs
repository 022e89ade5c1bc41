//! What a zone answers, question by question.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn service(name: &str, spec: &Value) -> v1::Service {
    object(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}))
}

fn slice(family: &str, endpoints: &Value) -> EndpointSlice {
    object(json!({
        "metadata": {}, "addressType": family, "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "", "port": 9, "protocol": "UDP"}],
    }))
}

fn zone() -> Zone {
    let mut zone = Zone::new("cluster.local", vec!["10.96.0.10".parse().unwrap()]);
    for namespace in ["shop", "empty"] {
        zone.add_namespace(namespace);
    }
    let behind = slice("IPv4", &json!([{"addresses": ["10.244.0.2"], "conditions": {"ready": true}}]));
    let ports = json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    zone.add(
        &service("web", &json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": ports})),
        &[&behind],
    );
    let members = slice(
        "IPv4",
        &json!([
            {"addresses": ["10.244.0.3"], "hostname": "db-1", "conditions": {"ready": true}},
            {"addresses": ["10.244.0.4"], "hostname": "DB-2"},
            {"addresses": ["10.244.0.2"], "conditions": {"ready": true}},
            {"addresses": ["10.244.0.9"], "hostname": "late", "conditions": {"ready": false}},
        ]),
    );
    let six = slice("IPv6", &json!([{"addresses": ["fd00::3"], "hostname": "db-1"}]));
    zone.add(
        &service("db", &json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]})),
        &[&members, &six],
    );
    zone.add(&service("nobody", &json!({"clusterIP": "None"})), &[&slice("IPv4", &json!([]))]);
    zone.add(&service("away", &json!({"type": "ExternalName", "externalName": "www.example.com."})), &[]);
    zone
}

fn said(records: &[Record]) -> String {
    let words = records.iter().map(|record| {
        let what = match &record.data {
            Data::A(address) => address.to_string(),
            Data::Aaaa(address) => address.to_string(),
            Data::Alias(name) => format!("alias {name}"),
            Data::Srv { weight, port, target } => format!("{target}:{port} ({weight})"),
            Data::Ptr(name) => name.clone(),
            Data::Txt(text) => format!("{text:?}"),
            Data::Ns(name) => format!("server {name}"),
            Data::Soa => "soa".to_owned(),
        };
        record.name.as_ref().map_or_else(|| what.clone(), |name| format!("{name} is {what}"))
    });
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn questions_get_the_answers_of_the_specification() {
    use Kind::{A, Aaaa, Ns, Other, Ptr, Soa, Srv, Txt};
    const NOTHING: &str = "nothing";
    const NO_NAME: &str = "no name";
    const ELSEWHERE: &str = "elsewhere";
    let zone = zone();
    for (name, kind, expected) in [
        // The zone itself.
        ("cluster.local", Soa, "soa"),
        ("cluster.local", Ns, "server ns.dns.cluster.local; ns.dns.cluster.local is 10.96.0.10"),
        ("cluster.local", A, NOTHING),
        ("ns.dns.cluster.local", A, "10.96.0.10"),
        ("dns-version.cluster.local", Txt, "\"1.1.0\""),
        ("dns-version.cluster.local", A, NOTHING),
        ("svc.cluster.local", A, NOTHING),
        ("shop.svc.cluster.local", A, NOTHING),
        ("empty.svc.cluster.local", A, NOTHING),
        ("strange.svc.cluster.local", A, NO_NAME),
        ("web.default.svc.cluster.local", A, NO_NAME),
        ("something.cluster.local", A, NO_NAME),
        // A Service with an address.
        ("web.shop.svc.cluster.local", A, "10.96.0.7"),
        ("WEB.Shop.SVC.cluster.LOCAL.", A, "10.96.0.7"),
        ("web.shop.svc.cluster.local", Aaaa, NOTHING),
        ("web.shop.svc.cluster.local", Txt, NOTHING),
        ("web.shop.svc.cluster.local", Other, NOTHING),
        (
            "_http._tcp.web.shop.svc.cluster.local",
            Srv,
            "web.shop.svc.cluster.local:80 (100); web.shop.svc.cluster.local is 10.96.0.7",
        ),
        ("_http._tcp.web.shop.svc.cluster.local", A, NOTHING),
        (
            "_dns._udp.web.shop.svc.cluster.local",
            Srv,
            "web.shop.svc.cluster.local:53 (100); web.shop.svc.cluster.local is 10.96.0.7",
        ),
        ("_tcp.web.shop.svc.cluster.local", Srv, NOTHING),
        ("_sctp.web.shop.svc.cluster.local", Srv, NO_NAME),
        ("_http._udp.web.shop.svc.cluster.local", Srv, NO_NAME),
        ("http._tcp.web.shop.svc.cluster.local", Srv, NO_NAME),
        ("10-244-0-2.web.shop.svc.cluster.local", A, "10.244.0.2"),
        ("a.b.web.shop.svc.cluster.local", A, NO_NAME),
        ("a.b.c.web.shop.svc.cluster.local", A, NO_NAME),
        // A headless one: who is ready, by name and by address.
        ("db.shop.svc.cluster.local", A, "10.244.0.2, 10.244.0.3, 10.244.0.4"),
        ("db.shop.svc.cluster.local", Aaaa, "fd00::3"),
        ("db-1.db.shop.svc.cluster.local", A, "10.244.0.3"),
        ("db-1.db.shop.svc.cluster.local", Aaaa, "fd00::3"),
        ("db-2.db.shop.svc.cluster.local", A, "10.244.0.4"),
        ("db-2.db.shop.svc.cluster.local", Aaaa, NOTHING),
        ("10-244-0-2.db.shop.svc.cluster.local", A, "10.244.0.2"),
        ("late.db.shop.svc.cluster.local", A, NO_NAME),
        (
            "_http._tcp.db.shop.svc.cluster.local",
            Srv,
            "10-244-0-2.db.shop.svc.cluster.local:8080 (33), db-1.db.shop.svc.cluster.local:8080 (33), \
          db-2.db.shop.svc.cluster.local:8080 (33); 10-244-0-2.db.shop.svc.cluster.local is 10.244.0.2, \
          db-1.db.shop.svc.cluster.local is 10.244.0.3, db-1.db.shop.svc.cluster.local is fd00::3, \
          db-2.db.shop.svc.cluster.local is 10.244.0.4",
        ),
        ("_._udp.db.shop.svc.cluster.local", Srv, NO_NAME),
        ("nobody.shop.svc.cluster.local", A, NO_NAME),
        // Another name of somebody outside.
        ("away.shop.svc.cluster.local", A, "alias www.example.com"),
        ("x.away.shop.svc.cluster.local", A, NO_NAME),
        // Addresses.
        ("7.0.96.10.in-addr.arpa", Ptr, "web.shop.svc.cluster.local"),
        ("3.0.244.10.in-addr.arpa", Ptr, "db-1.db.shop.svc.cluster.local"),
        (
            "2.0.244.10.in-addr.arpa",
            Ptr,
            "10-244-0-2.db.shop.svc.cluster.local, 10-244-0-2.web.shop.svc.cluster.local",
        ),
        ("3.0.244.10.in-addr.arpa", A, NOTHING),
        (
            "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
            Ptr,
            "db-1.db.shop.svc.cluster.local",
        ),
        ("9.0.244.10.in-addr.arpa", Ptr, ELSEWHERE),
        ("244.10.in-addr.arpa", Ptr, ELSEWHERE),
        // Addresses of Pods, which nobody is asked about.
        ("10-1-2-3.shop.pod.cluster.local", A, "10.1.2.3"),
        ("10-1-2-3.shop.pod.cluster.local", Aaaa, NOTHING),
        ("fd00--3.shop.pod.cluster.local", Aaaa, "fd00::3"),
        ("10-1-2-3.strange.pod.cluster.local", A, NO_NAME),
        ("web.shop.pod.cluster.local", A, NO_NAME),
        ("shop.pod.cluster.local", A, NOTHING),
        // The world.
        ("www.example.com", A, ELSEWHERE),
        ("local", A, ELSEWHERE),
        ("notcluster.local", A, ELSEWHERE),
        ("", Ns, ELSEWHERE),
    ] {
        let answer = match zone.answer(&Question::new(name, kind)) {
            Answer::Elsewhere => ELSEWHERE.to_owned(),
            Answer::NoName => NO_NAME.to_owned(),
            Answer::Found { records, .. } if records.is_empty() => NOTHING.to_owned(),
            Answer::Found { records, further } if further.is_empty() => said(&records),
            Answer::Found { records, further } => format!("{}; {}", said(&records), said(&further)),
        };
        assert_eq!(answer, expected, "{kind:?} {name}");
    }
}
