//! Machines in their Pods' networks, by either binding. As root behind a link, as an ordinary user (whom root becomes)
//! behind pasta.

#![allow(clippy::panic, reason = "helpers of tests")]

mod guest;
mod holder;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holder::{Holder, as_ordinary_user, config, helper, is_root};
use network::binding::{self, Binding, Masquerade, Port, Protocol, Spec};
use network::pod::{Attachment, NodeNetwork, NodeNetworkConfig, Uplink};

/// A host of both families, whatever this one has.
const HOST: &str =
    "ip link set lo up; ip link add up0 type veth peer name up1; ip link set up1 up; ip link set up0 up
    ip addr add 192.0.2.2/24 dev up0; ip route add default via 192.0.2.1
    ip -6 addr add fd00:7::2/64 dev up0 nodad && ip -6 route add default via fd00:7::1 dev up0
    exec \"$@\"";

fn behind(masquerade: Masquerade) -> Spec {
    Spec { hostname: "web".into(), ..Spec::new("default", Binding::Masquerade(masquerade)) }
}

fn bridged() -> Spec {
    Spec { hostname: "web".into(), ..Spec::new("default", Binding::Bridge) }
}

/// A Pod as an ordinary user has it, and the network of its node.
fn of_an_ordinary_user(state: &Path) -> (Holder, NodeNetwork) {
    let pod = Holder::new(&["-U", "--map-user=107", "--map-group=107", "-n"]);
    let config =
        NodeNetworkConfig { uplink: Uplink::Pasta, namespace: None, ..config(state, PathBuf::new()) };
    (pod, NodeNetwork::prepare(config).expect("the node's network"))
}

fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    let four = IpAddr::V4(attachment.address);
    std::iter::once(four).chain(attachment.address6.map(IpAddr::V6)).collect()
}

/// Has a program in the namespace of `from` connect to the port 22 of `to`; returns whom the machine `own` behind `tap` sees.
fn connects(from: &Holder, to: Ipv4Addr, tap: &OwnedFd, own: Ipv4Addr) -> Ipv4Addr {
    let mut connecting = Command::new("nsenter")
        .args(["-n", "-t", &from.pid().to_string(), "busybox", "nc", &to.to_string(), "22"])
        .stdin(Stdio::null())
        .spawn()
        .expect("nsenter starts");
    let seen = guest::await_connection(tap, own, 22);
    connecting.kill().expect("it is killed");
    connecting.wait().expect("it is reaped");
    guest::forget(tap);
    seen
}

#[test]
fn a_machine_behind_its_pod_gets_a_lease_and_connections() {
    if !is_root() {
        eprintln!("SKIPPED: bridges need root");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (node, pod) = (Holder::new(&["-n"]), Holder::new(&["-n"]));
    let network = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    let attachment = network.attach("uid-1", pod.pid()).expect("the Pod is connected");
    let ports = vec![Port { protocol: Protocol::Tcp, port: 22 }];
    let spec = behind(Masquerade { ports, ..Masquerade::default() });
    let prepared = binding::prepare(pod.pid(), &spec, &helper()).expect("the machine's network");
    assert_eq!(prepared.pod_ips, addresses(&attachment));
    guest::behave_like_a_machine(&prepared);
    match attachment.address6 {
        Some(_) => guest::look_for_a_router(&prepared),
        None => eprintln!("SKIPPED IN PART: this host has no IPv6"),
    }

    // While a hypervisor holds the tap, a second look returns a fresh socket only.
    let again = binding::prepare(pod.pid(), &spec, &helper()).expect("a second look");
    assert!(again.tap.is_none());
    assert_eq!(again.lease, prepared.lease);

    let tap = prepared.tap.as_ref().expect("a tap");
    connects(&node, attachment.address, tap, Ipv4Addr::new(10, 0, 2, 2));
}

#[test]
fn a_pod_of_an_ordinary_user_is_connected_by_pasta() {
    if is_root() {
        let way = ["unshare", "-n", "sh", "-c", HOST, "sh"];
        as_ordinary_user("a_pod_of_an_ordinary_user_is_connected_by_pasta", &way);
        return;
    }
    if std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        eprintln!("SKIPPED: /dev/net/tun is not open to this user");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (pod, network) = of_an_ordinary_user(state.path());
    let attachment = network.attach("uid-1", pod.pid()).expect("the Pod is connected");
    let spec = behind(Masquerade::default());
    let prepared = binding::prepare(pod.pid(), &spec, &helper()).expect("the machine's network");
    assert_eq!((&prepared.pod_ips, prepared.mtu), (&addresses(&attachment), 1500));
    guest::behave_like_a_machine(&prepared);
    match attachment.address6 {
        Some(_) => guest::look_for_a_router(&prepared),
        None => eprintln!("SKIPPED IN PART: this host has no IPv6"),
    }
    // What the Pod sends is carried to addresses of the host.
    for host in ["192.0.2.2:0", "[fd00:7::2]:0"] {
        let Ok(listener) = std::net::TcpListener::bind(host) else { continue };
        let target = listener.local_addr().expect("an address");
        network::netns_exec::connect(pod.pid(), target, &helper()).expect("it connects");
        listener.accept().expect("a connection");
    }
    network.detach("uid-1").expect("it is disconnected");
    network.teardown().expect("it is removed");
    assert_eq!(std::fs::read_dir(state.path()).expect("the state").count(), 0);
}

#[test]
fn without_a_way_out_a_pod_still_gets_its_address() {
    if is_root() {
        // Loopback alone, so that there is no default route.
        as_ordinary_user("without_a_way_out_a_pod_still_gets_its_address", &["unshare", "-n"]);
        return;
    }
    if !std::fs::read_to_string("/proc/net/route").is_ok_and(|routes| routes.lines().count() < 2) {
        eprintln!("SKIPPED: this host has routes; as root the test runs in a namespace without");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (pod, network) = of_an_ordinary_user(state.path());
    assert!(matches!(network.attach("uid-1", pod.pid()), Err(network::Error::NoUplink)));
    let attachment = network.isolate("uid-1", pod.pid(), &helper()).expect("the Pod gets an address");
    let prepared =
        binding::prepare(pod.pid(), &behind(Masquerade::default()), &helper()).expect("its machine too");
    assert_eq!(prepared.pod_ips, [IpAddr::V4(attachment.address)]);
    guest::behave_like_a_machine(&prepared);
    network.detach("uid-1").expect("it is disconnected");
    network.teardown().expect("it is removed");
}

/// What the Pod's interface has of its own.
fn left_over(pod: &Holder) -> String {
    pod.run(&["ip", "-o", "addr", "show", "dev", binding::POD_INTERFACE])
}

#[test]
fn a_machine_has_its_pods_address() {
    if !is_root() {
        eprintln!("SKIPPED: links of Pods need root");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (node, pod) = (Holder::new(&["-n"]), Holder::new(&["-n"]));
    let network = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    let Attachment { address, gateway, .. } = network.attach("uid-1", pod.pid()).expect("it is connected");
    let prepared = binding::prepare(pod.pid(), &bridged(), &helper()).expect("the machine's network");
    let lease = &prepared.lease;
    assert_eq!(prepared.pod_ips, [IpAddr::V4(address)]);
    assert_eq!((lease.address, lease.prefix, lease.gateway), (address, 24, gateway));
    assert_eq!((lease.routes.len(), &lease.ipv6), (0, &None), "the prefix says it all");
    assert_eq!(left_over(&pod), "");
    guest::behave_like_a_machine(&prepared);
    prepared.rules.wait().expect("the rules are in force");

    // The node answers for itself and for the other Pods, the Pod for the address that it keeps.
    let tap = prepared.tap.as_ref().expect("a tap");
    let other = Ipv4Addr::new(10, 244, 0, 77);
    let spare = Ipv4Addr::new(10, 244, 0, 254);
    let router = guest::ask_for(tap, address, gateway);
    assert_eq!(guest::ask_for(tap, address, other), router);
    assert_ne!(guest::ask_for(tap, address, spare), router);

    // Whatever a killed agent left or somebody else did, looking again leads to the same.
    for accident in [
        "true",
        "ip link set eth0 nomaster",
        "ip addr flush dev k6t-eth0",
        "ip link set k6t-eth0 down",
        "ip addr add 10.244.0.2/24 dev eth0; ip route add default via 10.244.0.1 dev eth0",
        "nft flush ruleset",
    ] {
        assert!(pod.status(&["sh", "-c", accident]), "{accident}");
        let again = binding::prepare(pod.pid(), &bridged(), &helper()).expect(accident);
        assert!(again.tap.is_none(), "a hypervisor holds it");
        assert_eq!((&again.lease, &again.pod_ips), (lease, &prepared.pod_ips), "{accident}");
        again.rules.wait().expect(accident);
        assert_eq!(left_over(&pod), "", "{accident}");
        for (from, to, seen) in [(&node, address, gateway), (&pod, Ipv4Addr::LOCALHOST, spare)] {
            assert_eq!(connects(from, to, tap, address), seen, "{accident}");
        }
    }

    // A link that is made again joins the bridge without a second such address.
    assert!(node.status(&["sh", "-c", "ip link delete $(ip -o link | grep -o 'iv[0-9a-f]*p0002')"]));
    let mended = network.mend(|_| Some(pod.pid())).expect("it is mended");
    assert!(mended.iter().any(|what| what.contains("p0002")), "{mended:?}");
    assert_eq!(left_over(&pod), "");
    assert_eq!(connects(&node, address, tap, address), gateway);
    network.teardown().expect("it is removed");
    assert_eq!(node.run(&["nft", "list", "ruleset"]), "");
}

#[test]
fn a_machine_of_an_ordinary_user_has_its_pods_address() {
    if is_root() {
        let way = ["unshare", "-n", "sh", "-c", HOST, "sh"];
        as_ordinary_user("a_machine_of_an_ordinary_user_has_its_pods_address", &way);
        return;
    }
    if std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        eprintln!("SKIPPED: /dev/net/tun is not open to this user");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (pod, network) = of_an_ordinary_user(state.path());
    let Attachment { address, gateway, .. } = network.attach("uid-1", pod.pid()).expect("it is connected");
    let prepared = binding::prepare(pod.pid(), &bridged(), &helper()).expect("the machine's network");
    let lease = &prepared.lease;
    assert_eq!(prepared.pod_ips, [IpAddr::V4(address)]);
    assert_eq!((lease.address, lease.prefix, lease.gateway), (address, 24, gateway));
    guest::behave_like_a_machine(&prepared);
    let tap = prepared.tap.as_ref().expect("a tap");
    let router = guest::ask_for(tap, address, gateway);
    assert_ne!(guest::ask_for(tap, address, Ipv4Addr::new(10, 244, 0, 254)), router);
    let again = binding::prepare(pod.pid(), &bridged(), &helper()).expect("a second look");
    assert_eq!((&again.lease, again.tap.is_none()), (lease, true));
    network.detach("uid-1").expect("it is disconnected");
    network.teardown().expect("it is removed");
}
