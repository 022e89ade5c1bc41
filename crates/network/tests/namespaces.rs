//! Pods' networks in namespaces of their own, and what a node has for them. Needs root, but for the rights.

#![allow(clippy::panic, reason = "helpers of tests")]

mod holder;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use holder::{Holder, config, helper, is_root};
use network::nodes::NodesConfig;
use network::pod::{NodeNetwork, NodeNetworkConfig};

#[test]
fn a_bridged_pod_is_connected_and_leaves_nothing_behind() {
    if !is_root() {
        eprintln!("SKIPPED: bridges need root");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let node = Holder::new(&["-n"]);
    let pod = Holder::new(&["-n"]);
    // Forwarding in a new namespace begins as it is on the host.
    let look = || {
        let forwarding =
            node.run(&["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]);
        (node.run(&["ip", "-o", "link"]), node.run(&["nft", "list", "ruleset"]), forwarding)
    };
    let before = look();
    let network = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    let attachment = network.attach("uid-1", pod.pid()).expect("the Pod is connected");
    assert_eq!(attachment.address, Ipv4Addr::new(10, 244, 0, 2));

    let listener = node.listen((attachment.gateway, 0).into());
    let address = listener.local_addr().expect("an address");
    let mut stream = network::netns_exec::connect(pod.pid(), address, &helper()).expect("it connects");
    let (mut far, peer) = listener.accept().expect("a connection");
    assert_eq!(peer.ip(), attachment.address);
    stream.write_all(b"hi").expect("it is sent");
    let mut word = [0u8; 2];
    far.read_exact(&mut word).expect("it arrives");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dialled =
        runtime.block_on(network::netns_exec::dial(pod.pid(), address, &helper())).expect("it connects");
    let (_, peer) = listener.accept().expect("a connection");
    assert_eq!(dialled.local_addr().expect("an address"), peer);

    // A second look, as after a restart, finds everything as it is.
    let again = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    assert_eq!(again.attach("uid-1", pod.pid()).expect("still connected"), attachment);
    again.detach("uid-1").expect("it is disconnected");
    again.detach("uid-1").expect("nothing to do");
    again.teardown().expect("it is removed");
    assert_eq!(look(), before);
    assert_eq!(std::fs::read_dir(state.path()).expect("the state").count(), 0);
}

#[test]
fn what_an_administrator_removes_is_made_again() {
    if !is_root() {
        eprintln!("SKIPPED: bridges need root");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (node, pod) = (Holder::new(&["-n"]), Holder::new(&["-n"]));
    let network = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    let attachment = network.attach("uid-1", pod.pid()).expect("the Pod is connected");
    let first = |uid: &str| (uid == "uid-1").then_some(pod.pid());
    let nothing: Vec<String> = Vec::new();
    assert_eq!(network.mend(first).expect("a look"), nothing);
    let links = node.run(&["ip", "-o", "link"]);
    let named = |start: &str| {
        let words = links.split_whitespace().map(|word| word.trim_end_matches(':').split('@').next());
        words.flatten().find(|word| word.starts_with(start)).expect("a link of ours").to_owned()
    };
    let (bridge, link) = (named("ic"), named("iv"));
    let rules = node.run(&["nft", "list", "ruleset"]);
    for removal in [
        &["nft", "flush", "ruleset"][..],
        &["ip", "link", "delete", &bridge],
        &["ip", "link", "set", &bridge, "down"],
        &["ip", "link", "delete", &link],
        &["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"],
    ] {
        assert!(node.status(removal), "{removal:?}");
        assert!(!network.mend(first).expect("it is mended").is_empty(), "{removal:?}");
        assert_eq!(network.mend(first).expect("a look"), nothing, "{removal:?}");
        assert_eq!(node.run(&["nft", "list", "ruleset"]), rules, "{removal:?}");
        for (here, there, from) in [(&node, &pod, attachment.gateway), (&pod, &node, attachment.address)] {
            let to = if from == attachment.gateway { attachment.address } else { attachment.gateway };
            let listener = there.listen((to, 0).into());
            let address = listener.local_addr().expect("an address");
            let stream = network::netns_exec::connect(here.pid(), address, &helper());
            let (_, peer) = stream.map(|_| listener.accept().expect("a connection")).expect("it connects");
            assert_eq!(peer.ip(), IpAddr::V4(from), "{removal:?}");
        }
        if let Some(six) = attachment.address6 {
            let listener = pod.listen((six, 0).into());
            let address = listener.local_addr().expect("an address");
            network::netns_exec::connect(node.pid(), address, &helper()).expect("it connects");
        }
    }
    network.teardown().expect("it is removed");
    assert_eq!(node.run(&["nft", "list", "ruleset"]), "");
}

#[test]
fn nodes_with_namespaces_of_their_own_reach_each_others_pods() {
    if !is_root() {
        eprintln!("SKIPPED: bridges need root");
        return;
    }
    let root = tempfile::tempdir().expect("a temporary directory");
    let host = Holder::new(&["-n"]);
    let state = |name: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    };
    let nodes_config = NodesConfig {
        pods: None,
        instance: root.path().display().to_string(),
        state: state("nodes"),
        count: 2,
        namespace: Some(host.namespace()),
    };
    let look = || {
        [&["ip", "-o", "link"][..], &["ip", "route"], &["nft", "list", "ruleset"]]
            .map(|words| host.run(words))
    };
    let mounts = || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        mounts.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (before, mounted) = (look(), mounts());
    let nodes = network::nodes::prepare(&nodes_config).expect("the nodes' networks");
    assert_eq!(network::nodes::prepare(&nodes_config).expect("a second look"), nodes);
    let configs: Vec<NodeNetworkConfig> = nodes
        .iter()
        .zip(0..)
        .map(|(node, number)| NodeNetworkConfig {
            node: number,
            instance: format!("{}/{number}", root.path().display()),
            network: Some(node.network),
            peers: node.peers.clone(),
            ..config(&state(&format!("node-{number}")), node.namespace.clone())
        })
        .collect();
    let networks: Vec<NodeNetwork> = configs
        .iter()
        .map(|config| NodeNetwork::prepare(config.clone()).expect("a node's network"))
        .collect();
    let pods = [Holder::new(&["-n"]), Holder::new(&["-n"])];
    let attachments: Vec<_> = networks
        .iter()
        .zip(&pods)
        .map(|(network, pod)| network.attach("uid-1", pod.pid()).expect("the Pod is connected"))
        .collect();
    let listener = pods[1].listen((attachments[1].address, 7000).into());
    let target = SocketAddr::from((attachments[1].address, 7000));
    for (from, expected) in [(pods[0].pid(), Some(attachments[0].address)), (host.pid(), None)] {
        let stream = network::netns_exec::connect(from, target, &helper()).expect("it connects");
        let (_, peer) = listener.accept().expect("a connection");
        if let Some(expected) = expected {
            assert_eq!(peer.ip(), expected, "Pods see each other's own address");
        }
        drop(stream);
    }
    let transit = network::nodes::Transit::of(nodes_config.clone()).expect("what connects the nodes");
    assert_eq!(transit.mend().expect("a look"), Vec::<String>::new());
    let links = host.run(&["ip", "-o", "link"]);
    let bridge = links.split([' ', ':']).find(|word| word.starts_with("ic")).expect("the bridge").to_owned();
    let port = links.split([' ', '@']).find(|word| word.starts_with("iv")).expect("a port").to_owned();
    for removal in [
        vec!["ip", "link", "delete", &bridge],
        vec!["ip", "link", "delete", &port],
        vec!["ip", "link", "set", &port, "nomaster"],
        vec!["nft", "flush", "ruleset"],
        vec!["sysctl", "-w", "net.ipv4.ip_forward=0"],
    ] {
        assert!(host.status(&removal), "{removal:?}");
        assert!(!transit.mend().expect("it is mended").is_empty(), "{removal:?}");
        assert_eq!(transit.mend().expect("a look"), Vec::<String>::new(), "{removal:?}");
        for from in [pods[0].pid(), host.pid()] {
            network::netns_exec::connect(from, target, &helper()).expect("it connects");
            listener.accept().expect("a connection");
        }
    }
    drop(pods);
    for network in networks {
        network.teardown().expect("it is removed");
    }
    network::nodes::teardown(&nodes_config).expect("all is removed");
    assert_eq!(look(), before);
    // Others mount and unmount meanwhile; what they mounted goes again.
    let more = || mounts().into_iter().filter(|mount| !mounted.contains(mount)).collect::<Vec<_>>();
    for _ in 0..1200 {
        if more().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(more(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(&nodes_config.state).expect("the state").count(), 0);
}

#[test]
fn the_last_of_several_installations_switches_forwarding_off() {
    if !is_root() {
        eprintln!("SKIPPED: bridges need root");
        return;
    }
    let host = Holder::new(&["-n"]);
    let settings = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"];
    let forwards = || settings.map(|setting| host.run(&["sysctl", "-n", setting]).trim().to_owned());
    for setting in settings {
        host.status(&["sysctl", "-w", &format!("{setting}=0")]);
    }
    let before = forwards();
    let states = [0, 1].map(|_| tempfile::tempdir().expect("a temporary directory"));
    for first_to_leave in [0, 1] {
        let mut installations: Vec<NodeNetwork> = states
            .iter()
            .map(|state| NodeNetwork::prepare(config(state.path(), host.namespace())).expect("a network"))
            .collect();
        assert_eq!(forwards()[0], "1");
        installations.remove(first_to_leave).teardown().expect("one is removed");
        assert_eq!(forwards()[0], "1", "the other needs it");
        installations.remove(0).teardown().expect("the last is removed");
        assert_eq!(forwards(), before, "installation {first_to_leave} left first");
        assert_eq!(host.run(&["nft", "list", "ruleset"]), "");
    }
}

#[test]
fn rights_are_found_out_by_using_them() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let findings = network::rights::probe(&helper(), scratch.path());
    assert_eq!(findings.len(), 4, "{findings:?}");
    for finding in &findings {
        assert_eq!(finding.grade, host::probe::Grade::Good, "{finding:?}");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).expect("the directory").count(), 0);
    let absent = network::rights::probe(&host::Helper::new("/does/not/exist"), scratch.path());
    assert_eq!(absent[0].grade, host::probe::Grade::Bad);
}
