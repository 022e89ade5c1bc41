//! Services, policies and spoofing between Pods of one node, with the rules that the planner writes. Needs root.

#![allow(clippy::panic, reason = "helpers of tests")]

mod holder;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use holder::{Holder, config, is_root};
use network::pod::{Attachment, Filter, NodeNetwork, Part};
use plan::endpoints::Pod;
use plan::traffic::{Endpoint, LocalNode, Peer, PeerPort, Policy, Port, Rule, Service};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 9);
/// The kernel tries again after a second, should the first packet get lost.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Connects from inside a namespace; returns who the listener saw.
fn connect(
    from: &Holder,
    to: impl Into<SocketAddr>,
    listener: &TcpListener,
) -> Result<IpAddr, std::io::Error> {
    let to = to.into();
    let stream = from.enter(move || TcpStream::connect_timeout(&to, PATIENCE))?;
    let (_, peer) = listener.accept()?;
    drop(stream);
    Ok(peer.ip())
}

/// A node with two Pods.
struct Lab {
    state: tempfile::TempDir,
    node: Holder,
    pods: [Holder; 2],
    places: [Attachment; 2],
    filter: Filter,
}

impl Lab {
    fn new() -> (Self, NodeNetwork) {
        let state = tempfile::tempdir().expect("a temporary directory");
        let node = Holder::new(&["-n"]);
        for command in [
            &["ip", "link", "set", "lo", "up"][..],
            // A way out: where nothing leads, nothing is refused either. A bridge, because every kernel that runs Pods has them.
            &["ip", "link", "add", "out", "type", "bridge"],
            &["ip", "link", "set", "out", "up"],
            &["ip", "route", "add", "default", "dev", "out"],
        ] {
            assert!(node.status(command), "{command:?}");
        }
        let pods = [Holder::new(&["-n"]), Holder::new(&["-n"])];
        let config = config(state.path(), node.namespace());
        let network = NodeNetwork::prepare(config.clone()).expect("the node's network");
        let place = |number: usize| {
            network.attach(&format!("uid-{number}"), pods[number].pid()).expect("the Pod is connected")
        };
        let places = [place(0), place(1)];
        for holder in [&node, &pods[0], &pods[1]] {
            holder.await_links();
        }
        let filter = Filter::of(&config).expect("root has one");
        (Self { state, node, pods, places, filter }, network)
    }

    fn pod(&self, number: usize, labels: &[(&str, &str)]) -> Pod {
        Pod {
            name: format!("pod-{number}"),
            namespace: "shop".into(),
            address: Some(self.places[number].address.to_string()),
            address6: self.places[number].address6,
            node: Some("node-0".into()),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Pod::default()
        }
    }
}

#[test]
fn pods_reach_each_other_and_services_reach_pods() {
    if !is_root() {
        eprintln!("SKIPPED: links of Pods need root");
        return;
    }
    let (lab, network) = Lab::new();
    let [a, b] = &lab.pods;
    let [at, bt] = &lab.places;
    let listener = b.listen((Ipv4Addr::UNSPECIFIED, 8080).into());
    assert_eq!(connect(a, (bt.address, 8080), &listener).expect("Pod to Pod"), at.address);

    let endpoint = Endpoint { address: bt.address, port: 8080, local: true };
    let port = Port {
        protocol: "tcp".into(),
        number: 80,
        node_port: Some(30080),
        inside: vec![endpoint],
        outside: vec![endpoint],
        ..Port::default()
    };
    let empty = Port { number: 81, node_port: Some(30081), inside: vec![], outside: vec![], ..port.clone() };
    let service = Service {
        name: "shop/web".into(),
        cluster_ip: Some(SERVICE),
        addresses: vec![SERVICE],
        ports: vec![port, empty],
        sticky: false,
    };
    let rules = plan::traffic::services(&[service], &BTreeSet::new(), &lab.filter.links());
    lab.filter.replace(Part::Services, &rules, "").expect("nft takes the rules");
    lab.filter.replace(Part::Services, &rules, "").expect("and takes them again");

    assert_eq!(connect(a, (SERVICE, 80), &listener).expect("a Service"), at.address);
    assert_eq!(connect(b, (SERVICE, 80), &listener).expect("a Pod's own Service"), at.gateway);
    assert_eq!(connect(a, (at.gateway, 30080), &listener).expect("a node's port"), at.address);
    assert_eq!(
        connect(&lab.node, (Ipv4Addr::LOCALHOST, 30080), &listener).expect("the node's loopback"),
        at.gateway
    );
    assert_eq!(connect(&lab.node, (at.gateway, 30080), &listener).expect("the node itself"), at.gateway);
    for refused in [(SERVICE, 81), (at.gateway, 30081)] {
        let error = connect(a, refused, &listener).expect_err("nobody is behind it");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{refused:?}");
    }
    lab.filter.replace(Part::Services, "", "").expect("the rules are removed");
    assert!(connect(a, (at.gateway, 30080), &listener).is_err());
    network.teardown().expect("it is removed");
    assert_eq!(lab.node.run(&["nft", "list", "ruleset"]), "");
    assert_eq!(std::fs::read_dir(lab.state.path()).expect("the state").count(), 0);
}

#[test]
fn policies_and_addresses_hold() {
    if !is_root() {
        eprintln!("SKIPPED: links of Pods need root");
        return;
    }
    let (lab, network) = Lab::new();
    let [a, b] = &lab.pods;
    let [at, bt] = &lab.places;
    let listener = b.listen((Ipv4Addr::UNSPECIFIED, 8080).into());
    let other = b.listen((Ipv4Addr::UNSPECIFIED, 8081).into());
    let host = lab.node.listen((Ipv4Addr::UNSPECIFIED, 9000).into());
    let secret = lab.node.listen((Ipv4Addr::LOCALHOST, 9001).into());
    connect(a, (at.gateway, 9000), &host).expect("the node's services");
    assert!(connect(a, (at.gateway, 9001), &secret).is_err(), "its loopback is its own");

    let pods = [lab.pod(0, &[("app", "web")]), lab.pod(1, &[("app", "db")])];
    let node = LocalNode { name: "node-0".into(), links: lab.filter.links() };
    let load = |policies: &[Policy]| {
        let rules = plan::traffic::policies(policies, &pods, &BTreeMap::new(), &node);
        lab.filter.replace(Part::Policies, &rules.ip, &rules.ip6).expect("nft takes the rules");
    };
    let everybody = machinery_selector("");
    let only = |peers: Vec<Peer>, first: u16| Rule {
        peers,
        ports: vec![PeerPort::Range { protocol: "tcp".into(), first, last: first }],
    };
    let web = Peer::Pods { namespaces: None, pods: machinery_selector("app=web") };
    let policy = |ingress, egress| Policy {
        name: "p".into(),
        namespace: "shop".into(),
        selector: everybody.clone(),
        ingress,
        egress,
    };
    load(&[policy(Some(vec![only(vec![web], 8080)]), None)]);
    connect(a, (bt.address, 8080), &listener).expect("what is let pass");
    assert!(connect(a, (bt.address, 8081), &other).is_err(), "another port");
    connect(&lab.node, (bt.address, 8081), &other).expect("the node reaches its Pods");
    let block = Peer::Block { network: "10.244.0.0/24".into(), except: vec![format!("{}/32", at.gateway)] };
    load(&[policy(None, Some(vec![only(vec![block], 8081)]))]);
    connect(a, (bt.address, 8081), &other).expect("what may leave");
    assert!(connect(a, (bt.address, 8080), &listener).is_err(), "another port");
    assert!(connect(a, (at.gateway, 9000), &host).is_err(), "the node is no exception");
    load(&[]);
    connect(a, (at.gateway, 9000), &host).expect("without policies everything passes");

    // A Pod that takes its neighbour's address is not heard, not even by the node.
    let ping = |source: Ipv4Addr| {
        let (source, to) = (source.to_string(), at.gateway.to_string());
        a.status(&["busybox", "ping", "-c1", "-W3", "-I", &source, &to])
    };
    assert!(ping(at.address), "its own address is heard");
    a.run(&["ip", "addr", "add", &format!("{}/32", bt.address), "dev", "eth0"]);
    assert!(!ping(bt.address), "another's is not");
    connect(&lab.node, (bt.address, 8080), &listener).expect("its owner still has it");
    network.teardown().expect("it is removed");
    assert_eq!(lab.node.run(&["nft", "list", "ruleset"]), "");
}

#[test]
fn the_other_family_is_held_alike() {
    if !is_root() {
        eprintln!("SKIPPED: links of Pods need root");
        return;
    }
    let (lab, network) = Lab::new();
    let [a, b] = &lab.pods;
    let (Some(at), Some(bt)) = (lab.places[0].address6, lab.places[1].address6) else {
        eprintln!("SKIPPED: this host has no IPv6");
        return;
    };
    let gateway = network::ipv6::twin(lab.places[0].gateway);
    let any = Ipv6Addr::UNSPECIFIED;
    let (listener, other) = (b.listen((any, 8080).into()), b.listen((any, 8081).into()));
    let host = lab.node.listen((any, 9000).into());
    assert_eq!(connect(a, (bt, 8080), &listener).expect("Pod to Pod"), IpAddr::V6(at));
    assert_eq!(connect(&lab.node, (bt, 8080), &listener).expect("node to Pod"), IpAddr::V6(gateway));
    assert_eq!(connect(a, (gateway, 9000), &host).expect("the node's services"), IpAddr::V6(at));

    // What has an address of the link only would pass by the policies.
    let ping = |command: &[&str]| a.status(&[&["busybox", "ping6", "-c1", "-W3"], command].concat());
    a.run(&["ip", "-6", "addr", "add", "fe80::99/64", "dev", "eth0", "nodad"]);
    assert!(!ping(&["-I", "fe80::99", "fe80::1%eth0"]), "not with the link's own address");
    let (at_text, bt_text, gateway_text) = (at.to_string(), bt.to_string(), gateway.to_string());
    assert!(ping(&["-I", &at_text, &gateway_text]), "its own address is heard");
    a.run(&["ip", "-6", "addr", "add", &format!("{bt}/128"), "dev", "eth0", "nodad"]);
    assert!(!ping(&["-I", &bt_text, &gateway_text]), "another's is not");
    a.run(&["ip", "-6", "addr", "del", &format!("{bt}/128"), "dev", "eth0"]);
    // A Pod that calls itself a router is not believed.
    for setting in ["accept_ra", "accept_redirects"] {
        let link = lab.filter.links().replace('*', "0002");
        let value = lab.node.run(&["cat", &format!("/proc/sys/net/ipv6/conf/{link}/{setting}")]);
        assert_eq!(value.trim(), "0", "{setting}");
    }

    let pods = [lab.pod(0, &[("app", "web")]), lab.pod(1, &[("app", "db")])];
    let node = LocalNode { name: "node-0".into(), links: lab.filter.links() };
    let web = Peer::Pods { namespaces: None, pods: machinery_selector("app=web") };
    let port = PeerPort::Range { protocol: "tcp".into(), first: 8080, last: 8080 };
    let block = Peer::Block { network: format!("{bt}/64"), except: vec![format!("{gateway}/128")] };
    let policy = Policy {
        name: "p".into(),
        namespace: "shop".into(),
        selector: machinery_selector(""),
        ingress: Some(vec![Rule { peers: vec![web], ports: vec![port] }]),
        egress: Some(vec![Rule { peers: vec![block], ports: Vec::new() }]),
    };
    let rules = plan::traffic::policies(&[policy], &pods, &BTreeMap::new(), &node);
    lab.filter.replace(Part::Policies, &rules.ip, &rules.ip6).expect("nft takes the rules");
    connect(a, (bt, 8080), &listener).expect("what is let pass");
    assert!(connect(a, (bt, 8081), &other).is_err(), "another port");
    assert!(connect(a, (gateway, 9000), &host).is_err(), "the node is an exception here");
    connect(&lab.node, (bt, 8081), &other).expect("the node reaches its Pods");
    network.teardown().expect("it is removed");
    assert_eq!(lab.node.run(&["nft", "list", "ruleset"]), "");
}

fn machinery_selector(text: &str) -> machinery::selector::LabelSelector {
    machinery::selector::LabelSelector::parse(text).expect("a selector")
}
