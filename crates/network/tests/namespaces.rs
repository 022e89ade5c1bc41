//! Pods' networks in namespaces of their own. The bridged part needs root, the other part an ordinary user (or
//! root, who becomes one).

#![allow(clippy::panic, reason = "helpers of tests")]

mod holder;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holder::{Holder, config, is_root};
use network::masquerade::{self, MasqueradeSpec, Port, Protocol};
use network::nodes::NodesConfig;
use network::pod::{Attachment, NodeNetwork, NodeNetworkConfig, Uplink};

fn helper() -> host::Helper {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    host::Helper::new(target.join("examples/network-helper"))
}

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

    // A second look, as after a restart, finds everything as it is.
    let again = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    assert_eq!(again.attach("uid-1", pod.pid()).expect("still connected"), attachment);
    again.detach("uid-1").expect("it is disconnected");
    again.detach("uid-1").expect("nothing to do");
    again.teardown().expect("it is removed");
    assert_eq!(look(), before);
    assert_eq!(std::fs::read_dir(state.path()).expect("the state").count(), 0);
}

/// Sends a frame through a tap that has virtio-net headers.
fn send_frame(tap: &OwnedFd, frame: &[u8]) {
    let mut packet = vec![0u8; 10];
    packet.extend_from_slice(frame);
    rustix::io::write(tap, &packet).expect("the frame is sent");
}

/// Reads frames until one satisfies `wanted`.
fn await_frame(tap: &OwnedFd, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut packet = [0u8; 2048];
    for _ in 0..100 {
        let mut polled = [rustix::event::PollFd::new(tap, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1), "a frame arrives in time");
        let length = rustix::io::read(tap, &mut packet).expect("a frame");
        if wanted(&packet[10..length]) {
            return packet[10..length].to_vec();
        }
    }
    panic!("the frame does not come");
}

const MACHINE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Makes a broadcast UDP datagram from port 68 to port 67.
fn dhcp_frame(payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
    let length = (20 + 8 + payload.len()) as u16;
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [0xff; 6].to_vec();
    frame.extend(MACHINE_MAC);
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend([0, 68, 0, 67]);
    frame.extend(((8 + payload.len()) as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend_from_slice(payload);
    frame
}

fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    let four = IpAddr::V4(attachment.address);
    std::iter::once(four).chain(attachment.address6.map(IpAddr::V6)).collect()
}

/// Plays a machine behind the Pod of `pid`: gets a lease, then answers ARP and sees a connection come in.
fn behave_like_a_machine(prepared: &masquerade::Prepared) {
    let tap = prepared.tap.as_ref().expect("a tap");
    let mut discover = vec![0u8; 240];
    discover[..4].copy_from_slice(&[1, 1, 6, 0]);
    discover[28..34].copy_from_slice(&MACHINE_MAC);
    discover[236..].copy_from_slice(&[99, 130, 83, 99]);
    discover.extend([53, 1, 1, 255]);
    send_frame(tap, &dhcp_frame(&discover));
    let mut polled = [rustix::event::PollFd::new(&prepared.dhcp_socket, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1), "the request arrives");
    let socket =
        std::net::UdpSocket::from(prepared.dhcp_socket.as_fd().try_clone_to_owned().expect("a copy"));
    let mut packet = [0u8; 1500];
    let (length, _) = socket.recv_from(&mut packet).expect("the request");
    let offer = network::dhcp::respond(&prepared.lease, MACHINE_MAC, &packet[..length]).expect("an offer");
    socket.send_to(&offer, "255.255.255.255:68").expect("it is sent");
    let frame = await_frame(tap, |frame| frame.len() > 58 && frame[36..38] == [0, 68]);
    assert_eq!(frame[58..62], [10, 0, 2, 2], "the offered address");
}

/// Makes a packet from the machine's address of its link; the payload's checksum is at `checksum`.
fn frame6(to: Ipv6Addr, protocol: u8, mut payload: Vec<u8>, checksum: usize) -> Vec<u8> {
    let from: Ipv6Addr = "fe80::9".parse().expect("an address");
    let length = (payload.len() as u16).to_be_bytes();
    let pseudo =
        [&from.octets()[..], &to.octets(), &[0, 0], &length, &[0, 0, 0, protocol], &payload].concat();
    let sum: u32 = pseudo
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum + (sum >> 16)) as u16);
    payload[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
    let mut frame =
        [&[0x33, 0x33][..], &to.octets()[12..], &MACHINE_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend(length);
    frame.extend([protocol, 255]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(payload);
    frame
}

/// Reads what the machine sent to one of its sockets.
fn receive(socket: &OwnedFd) -> (std::net::UdpSocket, Vec<u8>) {
    let mut polled = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1), "the request arrives");
    let socket = std::net::UdpSocket::from(socket.as_fd().try_clone_to_owned().expect("a copy"));
    let mut packet = vec![0u8; 1500];
    let (length, _) = socket.recv_from(&mut packet).expect("the request");
    packet.truncate(length);
    (socket, packet)
}

/// Plays the machine's side of IPv6: looks for its router, and asks for its address.
fn look_for_a_router(prepared: &masquerade::Prepared) {
    let tap = prepared.tap.as_ref().expect("a tap");
    let [dhcp, advertiser] = prepared.ipv6_sockets.as_ref().expect("the Pod has IPv6");
    let group = |text: &str| text.parse::<Ipv6Addr>().expect("a group");
    send_frame(tap, &frame6(group("ff02::2"), 58, vec![133, 0, 0, 0, 0, 0, 0, 0], 2));
    let (socket, solicitation) = receive(advertiser);
    assert!(network::advertisement::asks(&solicitation));
    let message = network::advertisement::message(&prepared.lease).expect("an advertisement");
    socket.send_to(&message, "[ff02::1]:0").expect("it is sent");
    let is_router = |frame: &[u8]| frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 134;
    let frame = await_frame(tap, is_router);
    assert_eq!(frame[21], 255, "neighbours believe no other hop limit");
    assert_eq!(frame[6..12], masquerade::BRIDGE_MAC);

    let mut solicit = vec![2, 34, 2, 35, 0, 42, 0, 0];
    solicit.extend([1, 1, 2, 3, 0, 1, 0, 2, 9, 9, 0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    solicit[5] = solicit.len() as u8;
    send_frame(tap, &frame6(group("ff02::1:2"), 17, solicit, 6));
    let (_, request) = receive(dhcp);
    let answer = network::dhcp6::respond(&prepared.lease, &request).expect("an answer");
    assert_eq!(answer[..4], [2, 1, 2, 3]);
}

#[test]
fn a_machine_behind_a_bridged_pod_gets_a_lease_and_connections() {
    if !is_root() {
        eprintln!("SKIPPED: bridges need root");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (node, pod) = (Holder::new(&["-n"]), Holder::new(&["-n"]));
    let network = NodeNetwork::prepare(config(state.path(), node.namespace())).expect("the node's network");
    let attachment = network.attach("uid-1", pod.pid()).expect("the Pod is connected");
    let spec = MasqueradeSpec {
        hostname: "web".into(),
        ports: vec![Port { protocol: Protocol::Tcp, port: 22 }],
        ..MasqueradeSpec::default()
    };
    let prepared = masquerade::prepare(pod.pid(), &spec, &helper()).expect("the machine's network");
    assert_eq!(prepared.pod_ips, addresses(&attachment));
    behave_like_a_machine(&prepared);
    match attachment.address6 {
        Some(_) => look_for_a_router(&prepared),
        None => eprintln!("SKIPPED IN PART: this host has no IPv6"),
    }

    // While a hypervisor holds the tap, a second look returns a fresh socket only.
    let again = masquerade::prepare(pod.pid(), &spec, &helper()).expect("a second look");
    assert!(again.tap.is_none());
    assert_eq!(again.lease, prepared.lease);

    let tap = prepared.tap.as_ref().expect("a tap");
    let mut connecting = Command::new("nsenter")
        .args(["-n", "-t", &node.pid().to_string(), "busybox", "nc", &attachment.address.to_string(), "22"])
        .stdin(Stdio::null())
        .spawn()
        .expect("nsenter starts");
    let ask = await_frame(tap, |frame| frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 2, 2]);
    let mut answer = [ask[6..12].to_vec(), MACHINE_MAC.to_vec(), vec![8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    answer.extend(MACHINE_MAC);
    answer.extend([10, 0, 2, 2]);
    answer.extend(&ask[22..32]);
    send_frame(tap, &answer);
    let opening = await_frame(tap, |frame| frame[12..14] == [8, 0] && frame[23] == 6);
    assert_eq!((&opening[30..34], &opening[36..38]), (&[10, 0, 2, 2][..], &[0, 22][..]));
    connecting.kill().expect("it is killed");
    connecting.wait().expect("it is reaped");
}

#[test]
fn a_pod_of_an_ordinary_user_is_connected_by_pasta() {
    if is_root() {
        // A host of both families, whatever this one has.
        let host = "ip link set lo up; ip link add up0 type veth peer name up1; ip link set up1 up; ip link set up0 up
            ip addr add 192.0.2.2/24 dev up0; ip route add default via 192.0.2.1
            ip -6 addr add fd00:7::2/64 dev up0 nodad && ip -6 route add default via fd00:7::1 dev up0
            exec \"$@\"";
        let way = ["unshare", "-n", "sh", "-c", host, "sh"];
        as_ordinary_user("a_pod_of_an_ordinary_user_is_connected_by_pasta", &way);
        return;
    }
    if std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        eprintln!("SKIPPED: /dev/net/tun is not open to this user");
        return;
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let pod = Holder::new(&["-U", "--map-user=107", "--map-group=107", "-n"]);
    let config =
        NodeNetworkConfig { uplink: Uplink::Pasta, namespace: None, ..config(state.path(), PathBuf::new()) };
    let network = NodeNetwork::prepare(config).expect("the node's network");
    let attachment = network.attach("uid-1", pod.pid()).expect("the Pod is connected");
    let spec = MasqueradeSpec::default();
    let prepared = masquerade::prepare(pod.pid(), &spec, &helper()).expect("the machine's network");
    assert_eq!((&prepared.pod_ips, prepared.mtu), (&addresses(&attachment), 1500));
    behave_like_a_machine(&prepared);
    match attachment.address6 {
        Some(_) => look_for_a_router(&prepared),
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
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        (
            host.run(&["ip", "-o", "link"]),
            host.run(&["ip", "route"]),
            host.run(&["nft", "list", "ruleset"]),
            mounts,
        )
    };
    let before = look();
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
    let pod = Holder::new(&["-U", "--map-user=107", "--map-group=107", "-n"]);
    let config =
        NodeNetworkConfig { uplink: Uplink::Pasta, namespace: None, ..config(state.path(), PathBuf::new()) };
    let network = NodeNetwork::prepare(config).expect("the node's network");
    assert!(matches!(network.attach("uid-1", pod.pid()), Err(network::Error::NoUplink)));
    let attachment = network.isolate("uid-1", pod.pid(), &helper()).expect("the Pod gets an address");
    let prepared =
        masquerade::prepare(pod.pid(), &MasqueradeSpec::default(), &helper()).expect("its machine too");
    assert_eq!(prepared.pod_ips, [IpAddr::V4(attachment.address)]);
    behave_like_a_machine(&prepared);
    network.detach("uid-1").expect("it is disconnected");
    network.teardown().expect("it is removed");
}

/// Runs one test of this file again as `nobody`, by way of the program `way`.
fn as_ordinary_user(test: &str, way: &[&str]) {
    let status = Command::new(way[0])
        .args(&way[1..])
        .arg("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", test, "--nocapture"])
        .status()
        .expect("setpriv runs");
    assert!(status.success());
}
