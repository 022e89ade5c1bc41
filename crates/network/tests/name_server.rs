//! The place of the cluster's name server: Pods of the installation reach it, Pods of another one do not.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use network::pod::{NameServer, NodeNetwork};

mod holder;
use holder::{Holder, config, is_root};

/// Sends `word` from `pod` to port 53 of `server`.
fn ask(pod: &Holder, server: Ipv4Addr, word: &'static [u8]) {
    pod.enter(move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        socket.send_to(word, (server, 53)).expect("it is sent");
    });
}

/// What comes next, and from whom.
fn heard(udp: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    udp.set_nonblocking(false).expect("it waits");
    let mut buffer = [0; 64];
    let (length, from) = udp.recv_from(&mut buffer).expect("a question");
    (buffer[..length].to_vec(), from)
}

#[test]
fn pods_of_the_installation_reach_the_name_server_and_nobody_else_does() {
    if !is_root() {
        eprintln!("SKIPPED: links of Pods need root");
        return;
    }
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let node = Holder::new(&["-n"]);
    let own = config(one.path(), node.namespace());
    assert!(NameServer::settle(&own).expect("a look").is_none(), "the node has no network yet");
    let network = NodeNetwork::prepare(own.clone()).expect("the node's network");
    let other = NodeNetwork::prepare(config(two.path(), node.namespace())).expect("another one");
    let [pod, stranger] = [Holder::new(&["-n"]), Holder::new(&["-n"])];
    let at = network.attach("pod", pod.pid()).expect("the Pod is connected");
    other.attach("stranger", stranger.pid()).expect("the stranger is connected");
    [&node, &pod, &stranger].into_iter().for_each(Holder::await_links);

    let place = NameServer::settle(&own).expect("a place").expect("the node has one");
    let (udp, _tcp) = place.sockets().expect("port 53 is free");
    assert!(place.is_whole().expect("a look"));
    assert!(place.is_pod(at.address.into()) && !place.is_pod(at.gateway.into()));
    ask(&stranger, place.address(), b"stranger");
    ask(&pod, place.address(), b"pod");
    let (word, from) = heard(&udp);
    assert_eq!((word, from.ip()), (b"pod".to_vec(), at.address.into()), "the stranger was not heard");
    ask(&node, place.address(), b"node");
    let (word, from) = heard(&udp);
    assert_eq!(word, b"node", "the node itself may ask");
    assert!(!place.is_pod(from.ip()), "but is no Pod: {from}");

    let address = place.address();
    let links = node.run(&["ip", "-o", "route", "get", &address.to_string()]);
    let link = links.split(' ').find(|word| word.starts_with("iv")).expect("a link").to_owned();
    assert!(node.status(&["ip", "link", "delete", &link]));
    assert!(!place.is_whole().expect("a look"));
    // The next one, as after a kill, has the same address.
    let next = NameServer::settle(&own).expect("a place").expect("the node has one");
    assert_eq!(next.address(), address);
    let (udp, _tcp) = next.sockets().expect("port 53 is free");
    node.await_links();
    ask(&pod, address, b"again");
    assert_eq!(heard(&udp).0, b"again");
    drop((place, next, udp));

    network.teardown().expect("it is removed");
    other.teardown().expect("it is removed");
    assert_eq!(std::fs::read_dir(one.path()).expect("the state").count(), 0);
    drop((pod, stranger));
    assert_eq!(node.run(&["nft", "list", "ruleset"]), "");
}
