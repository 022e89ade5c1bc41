//! Messages in, messages out.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn zone() -> Zone {
    let object = |value: Value| serde_json::from_value(value).unwrap();
    let mut zone = Zone::new("cluster.local", vec!["10.96.0.10".parse().unwrap()]);
    zone.add_namespace("shop");
    let services = [
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.7"}}),
        json!({"metadata": {"name": "near", "namespace": "shop"},
               "spec": {"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}}),
        json!({"metadata": {"name": "far", "namespace": "shop"},
               "spec": {"type": "ExternalName", "externalName": "www.example.com"}}),
        json!({"metadata": {"name": "round", "namespace": "shop"},
               "spec": {"type": "ExternalName", "externalName": "round.shop.svc.cluster.local"}}),
    ];
    for service in services {
        zone.add(&object(service), &[]);
    }
    let many: Vec<Value> = (0..100)
        .map(|last| json!({"addresses": [format!("10.244.0.{last}")], "hostname": format!("n{last}")}))
        .collect();
    let slice = serde_json::from_value(json!({
        "metadata": {}, "addressType": "IPv4", "endpoints": many, "ports": [{"name": "http", "port": 80}],
    }))
    .unwrap();
    let headless = json!({"metadata": {"name": "many", "namespace": "shop"}, "spec": {"clusterIP": "None"}});
    zone.add(&object(headless), &[&slice]);
    zone
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn with_edns(mut query: Message, size: u16, version: u8) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_version(version);
    query.set_edns(edns);
    query
}

/// The answer, as whoever asked reads it.
fn reply(query: &Message) -> Message {
    match judge(&zone(), &query.to_vec().unwrap()) {
        Step::Reply(reply) => Message::from_vec(&encode(reply, datagram(query)).unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_repeats_the_question_as_it_was_asked() {
    let asked = query("Web.shop.svc.CLUSTER.local.", RecordType::A);
    let answer = reply(&asked);
    assert_eq!((answer.id, answer.response_code), (7, ResponseCode::NoError));
    assert!(answer.authoritative && answer.recursion_desired && answer.recursion_available);
    assert!(answer.queries[0].name().eq_case(asked.queries[0].name()));
    assert!(answer.answers[0].name.eq_case(asked.queries[0].name()));
    assert_eq!((answer.answers[0].ttl, &answer.answers[0].data), (5, &RData::A(A::new(10, 96, 0, 7))));
    assert!(answer.edns.is_none(), "who does not extend is not answered so");
}

#[test]
fn no_name_and_no_record_are_told_apart_with_the_zones_own_record() {
    for (name, kind, code) in [
        ("nobody.shop.svc.cluster.local.", RecordType::A, ResponseCode::NXDomain),
        ("web.shop.svc.cluster.local.", RecordType::AAAA, ResponseCode::NoError),
        ("web.shop.svc.cluster.local.", RecordType::MX, ResponseCode::NoError),
        ("web.shop.svc.cluster.local.", RecordType::ANY, ResponseCode::NoError),
    ] {
        let answer = reply(&query(name, kind));
        assert_eq!((answer.response_code, answer.answers.len()), (code, 0), "{name} {kind}");
        let RData::SOA(soa) = &answer.authorities[0].data else { panic!("{answer:?}") };
        assert_eq!((soa.minimum, answer.authorities[0].name.to_ascii()), (5, "cluster.local.".into()));
    }
}

#[test]
fn what_does_not_fit_is_had_over_tcp() {
    let asked = query("many.shop.svc.cluster.local.", RecordType::A);
    let short = reply(&asked);
    assert!(short.truncation && short.answers.is_empty());
    let asked = with_edns(asked, 4096, 0);
    let longer = reply(&asked);
    assert!(longer.truncation, "100 addresses do not fit a datagram that reaches everybody");
    assert_eq!(longer.edns.as_ref().map(Edns::max_payload), Some(1232));
    let Step::Reply(whole) = judge(&zone(), &asked.to_vec().unwrap()) else { panic!() };
    let whole = Message::from_vec(&encode(whole, usize::from(u16::MAX)).unwrap()).unwrap();
    assert_eq!((whole.truncation, whole.answers.len()), (false, 100));
    assert_eq!(
        whole.answers[0].data,
        RData::A(A::new(10, 244, 0, 7)),
        "the first one changes from client to client"
    );
    let ports = with_edns(query("_http._tcp.many.shop.svc.cluster.local.", RecordType::SRV), 1232, 0);
    assert!(reply(&ports).truncation);
}

#[test]
fn names_lead_to_names() {
    let near = reply(&query("near.shop.svc.cluster.local.", RecordType::A));
    let said: Vec<String> = near.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(said, ["web.shop.svc.cluster.local.", "10.96.0.7"]);
    let alone = reply(&query("far.shop.svc.cluster.local.", RecordType::CNAME));
    assert_eq!(alone.answers.len(), 1);
    assert_eq!(
        reply(&query("round.shop.svc.cluster.local.", RecordType::A)).response_code,
        ResponseCode::ServFail
    );

    let asked = query("far.shop.svc.cluster.local.", RecordType::AAAA);
    let Step::Follow { reply, target } = judge(&zone(), &asked.to_vec().unwrap()) else {
        panic!("it is followed")
    };
    assert_eq!(target.to_ascii(), "www.example.com.");
    let next = follow_up(&reply, &target, 9).unwrap();
    assert_eq!((next.id, next.queries[0].query_type(), next.recursion_desired), (9, RecordType::AAAA, true));
    let mut said = reply_to(&next);
    let six = RData::AAAA("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into());
    said.add_answer(Record::from_rdata(target, 60, six));
    let whole = continued(reply, said);
    assert_eq!((whole.id, whole.answers.len()), (7, 2));
}

#[test]
fn what_is_no_question_for_us_is_said_so() {
    assert!(matches!(
        judge(&zone(), &query("www.example.com.", RecordType::A).to_vec().unwrap()),
        Step::Forward(_)
    ));
    assert!(matches!(judge(&zone(), &query(".", RecordType::NS).to_vec().unwrap()), Step::Forward(_)));
    let refused = |query: &Message| reply(query).response_code;
    let web = || query("web.shop.svc.cluster.local.", RecordType::A);
    assert_eq!(refused(&query("cluster.local.", RecordType::AXFR)), ResponseCode::Refused);
    let mut chaos = web();
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(refused(&chaos), ResponseCode::Refused);
    let mut notify = web();
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(refused(&notify), ResponseCode::NotImp);
    let mut none = web();
    none.queries.clear();
    assert_eq!(refused(&none), ResponseCode::FormErr);
    let mut two = web();
    two.add_query(web().queries[0].clone());
    assert_eq!(refused(&two), ResponseCode::FormErr);
    let newer = reply(&with_edns(web(), 1232, 1));
    // The code has another name in signed messages.
    let code = u16::from(newer.response_code);
    assert_eq!((code, newer.edns.as_ref().map(Edns::version)), (u16::from(ResponseCode::BADVERS), Some(0)));
    assert!(matches!(judge(&zone(), &reply_to(&web()).to_vec().unwrap()), Step::Ignore), "an answer");
    assert!(matches!(judge(&zone(), &[0; 5]), Step::Ignore));
    let mut cut = web().to_vec().unwrap();
    cut.truncate(20);
    let Step::Reply(error) = judge(&zone(), &cut) else { panic!("it is answered") };
    assert_eq!((error.id, error.response_code), (7, ResponseCode::FormErr));
}

#[test]
fn labels_of_any_bytes_are_no_names_of_the_cluster() {
    for label in [&b"we\xffb"[..], b"web.shop", b"\x00", b"WEB\xc3\xa9"] {
        let name = Name::from_labels([label, b"shop", b"svc", b"cluster", b"local"]).unwrap();
        let mut asked = query(".", RecordType::A);
        asked.queries[0].set_name(name);
        assert_eq!(reply(&asked).response_code, ResponseCode::NXDomain, "{label:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_answered_or_ignored(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&packet);
    }

    #[test]
    fn so_are_broken_questions(at in 0_usize..60, byte in any::<u8>(), length in 0_usize..80) {
        let asked = with_edns(query("_http._tcp.many.shop.svc.cluster.local.", RecordType::SRV), 600, 0);
        let mut packet = asked.to_vec().unwrap();
        let at = at % packet.len();
        packet[at] = byte;
        packet.truncate(length);
        check(&packet);
    }
}

/// An answer is read back, fits, and has the number of the question.
fn check(packet: &[u8]) {
    if let Step::Reply(reply) = judge(&zone(), packet) {
        let bytes = encode(reply, 512).unwrap();
        let read = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= 512);
        assert_eq!(read.id.to_be_bytes(), packet[..2]);
        assert_eq!(read.message_type, MessageType::Response);
    }
}
