//! Machines in a network: they reach each other by Services, as far as policies let them, and are told their names.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use e2e::guests::machine;
use e2e::rough::{processes, runs};
use e2e::{BLANK, blank, container_disk};
use kit::{Installation, Options, Resolver, User, program, until, until_some};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(180);
const CLUSTER_IP: &str = "10.96.0.99";
const NODE_PORT: u16 = 30777;
/// Where names outside the cluster lead.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);

/// The guest hears its IPv6 router by itself; its address there is given by hand, for it has no DHCPv6 client.
const SERVER: &str = r#"mkdir -p /www; echo "hello from server" > /www/index.html
httpd -p 80 -h /www; httpd -p 82 -h /www
ip -6 addr add fd10:0:2::2/120 dev eth0
echo "resolver: $(tr '\n' ' ' < /etc/resolv.conf)" > /dev/console"#;

/// Asks for ever, and says what came: of the Service, and of names.
const CLIENT: &str = r#"(while sleep 1; do
answer=$(printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 10.96.0.99 80 2>/dev/null | grep hello)
echo "service: ${answer:-nobody}" > /dev/console
done) &
echo "options timeout:1 attempts:1" >> /etc/resolv.conf
for name in web web.default server.peers.default.svc.cluster.local www.corp.example intranet; do
(while sleep 1; do address=$(ping -c 1 -W 1 $name 2>/dev/null | sed -n '1s/.*(\([0-9.]*\)).*/\1/p')
echo "$name is ${address:-nowhere}" > /dev/console
done) &
done"#;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIP: 10.96.0.99
  selector: {app: server}
  ports: [{port: 80, targetPort: http, nodePort: 30777}]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: server}}
---
";

/// Lets the client send to port 53 only, of those with the label `k8s-app: WHO`.
fn name_policy(who: &str) -> String {
    let to = format!("to: [{{namespaceSelector: {{}}, podSelector: {{matchLabels: {{k8s-app: {who}}}}}}}]");
    let ports = "ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]";
    network_policy("names", "client", "Egress", &format!("{to}, {ports}"))
}

/// Lets only Pods with the label `app: WHO` reach the server.
fn policy(who: &str) -> String {
    let from = format!("from: [{{podSelector: {{matchLabels: {{app: {who}}}}}}}], ports: [{{port: http}}]");
    network_policy("server", "server", "Ingress", &from)
}

/// The policy `name` about Pods with the label `app: SUBJECT`, which lets pass what `rule` says, one way.
fn network_policy(name: &str, subject: &str, way: &str, rule: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}}}
spec:
  podSelector: {{matchLabels: {{app: {subject}}}}}
  policyTypes: [{way}]
  {}: [{{{rule}}}]
",
        way.to_lowercase()
    )
}

/// What a port of the host's loopback answers to a request for its page.
fn page(port: u16) -> Option<String> {
    page_at((Ipv4Addr::LOCALHOST, port).into())
}

fn page_at(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout is set");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// How often the client has said `what`.
fn said(installation: &Installation, what: &str) -> usize {
    installation.console("default", "client").matches(&format!("service: {what}")).count()
}

fn says_again(installation: &Installation, what: &str) {
    let before = said(installation, what);
    until(&format!("the client says: {what}"), PATIENCE, || said(installation, what) > before);
}

/// Waits until the client has found each of `names` at its address once more.
fn finds_again(installation: &Installation, names: &[(&str, &str)]) {
    let found = |name: &str, address: &str| {
        installation.console("default", "client").matches(&format!("{name} is {address}\r\n")).count()
    };
    let before: Vec<usize> = names.iter().map(|(name, address)| found(name, address)).collect();
    until(&format!("the client finds {names:?}"), PATIENCE, || {
        names.iter().zip(&before).all(|((name, address), before)| found(name, address) > *before)
    });
}

/// The machine's addresses, once it has some.
fn interface(installation: &Installation, name: &str) -> Value {
    until_some("the machine shows an address", PATIENCE, || {
        let instance = installation.get("vmi", "default", name)?;
        let first = instance["status"]["interfaces"][0].clone();
        first["ipAddress"].is_string().then_some(first)
    })
}

#[test]
fn machines_serve_each_other_as_far_as_policies_let_them() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: machines reach each other on nodes that root runs");
        return;
    }
    let resolver = Resolver::start(OUTSIDE);
    let resolv_conf = Some(resolver.resolv_conf.clone());
    let installation = Installation::start(Options { resolv_conf, ..Options::default() });
    let names = "subdomain: peers
      dnsPolicy: None
      dnsConfig: {nameservers: [192.0.2.53], searches: [corp.example]}";
    let manifest =
        [SERVICE, &machine("server", "masquerade", names, SERVER), &machine("client", "bridge", "", CLIENT)]
            .concat();
    installation.apply(&manifest);

    says_again(&installation, "hello from server");
    let server = interface(&installation, "server");
    let slices = installation.list("endpointslices");
    let slice =
        slices.iter().find(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
    let slice = slice.expect("the Service has a slice");
    assert_eq!(slice["endpoints"][0]["addresses"][0], server["ipAddress"]);
    assert_eq!(slice["ports"][0]["port"], 80, "the name of the port was found in the Pod");
    // They are written after the slices.
    until("the Service has Endpoints", PATIENCE, || {
        let endpoints = installation.get("endpoints", "default", "web").unwrap_or_default();
        endpoints["subsets"][0]["addresses"][0]["ip"] == server["ipAddress"]
    });
    assert_eq!(server["ipAddresses"][0], server["ipAddress"]);
    if let Some(six) = server["ipAddresses"][1].as_str() {
        // The guest has its address by its script, and the way back by what its router says.
        let six: Ipv6Addr = six.parse().expect("an IPv6 address");
        until("the machine answers over IPv6", PATIENCE, || {
            page_at((six, 80).into()).is_some_and(|page| page.contains("hello from server"))
        });
        assert!(page_at((six, 82).into()).is_none(), "a port that is not listed");
        let pods = installation.list("pods");
        let known = pods.iter().any(|pod| pod["status"]["podIPs"][1]["ip"] == six.to_string());
        assert!(known, "the Pod has the same addresses");
    }
    until("the guest says its resolver", PATIENCE, || {
        let console = installation.console("default", "server");
        console
            .contains("resolver: search peers.default.svc.cluster.local corp.example nameserver 192.0.2.53")
    });
    until("the node's port answers", PATIENCE, || {
        page(NODE_PORT).is_some_and(|page| page.contains("hello from server"))
    });

    let (outside, server) =
        (OUTSIDE.to_string(), server["ipAddress"].as_str().expect("an address").to_owned());
    let names = [
        ("web", CLUSTER_IP),
        ("web.default", CLUSTER_IP),
        ("server.peers.default.svc.cluster.local", &server),
        ("www.corp.example", &outside),
        ("intranet", &outside),
    ];
    finds_again(&installation, &names);
    installation.apply(&name_policy("nobody"));
    finds_again(&installation, &[("web", "nowhere"), ("www.corp.example", "nowhere")]);
    installation.apply(&name_policy("kube-dns"));
    finds_again(&installation, &names);
    installation.kubectl(&["delete", "networkpolicy", "names"]).expect("deleting the policy");

    installation.apply(&policy("nobody"));
    says_again(&installation, "nobody");
    installation.apply(&policy("client"));
    says_again(&installation, "hello from server");

    // The control plane may go: rules and guests stay.
    installation.kill();
    until("the node's port answers without the control plane", PATIENCE, || {
        page(NODE_PORT).is_some_and(|page| page.contains("hello from server"))
    });
    installation.up();
    says_again(&installation, "hello from server");
    finds_again(&installation, &names);

    installation.kubectl(&[
        "delete",
        "networkpolicy,service,vm",
        "server",
        "web",
        "peers",
        "client",
        "--ignore-not-found",
    ]);
    until("nothing speaks of the Service any more", PATIENCE, || {
        let rules = std::process::Command::new("nft").args(["list", "ruleset"]).output().expect("nft runs");
        !String::from_utf8_lossy(&rules.stdout).contains(CLUSTER_IP)
            && installation
                .list("endpointslices")
                .iter()
                .all(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] != "web")
            && installation.get("endpoints", "default", "web").is_none()
    });
}

#[test]
fn a_small_network_and_a_port_that_somebody_has_are_told_of() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a node with a packet filter needs root");
        return;
    }
    let pod_network = Some("10.97.12.0/30");
    let installation = Installation::start(Options { images: false, pod_network, ..Options::default() });
    let up = ["up", "--detach", "--nodes", "4", "--pod-network", "10.97.12.0/30"];
    let refused = installation.ironclad(&up);
    assert!(!refused.success && refused.stderr.contains("too small for 4 nodes"), "{}", refused.stderr);

    let held = (30780..30800).find_map(|port| std::net::TcpListener::bind(("0.0.0.0", port)).ok());
    let held = held.expect("one port of twenty is free");
    let port = held.local_addr().expect("an address").port().to_string();
    let service = ["create", "service", "nodeport", "held", "--tcp", "80", "--node-port", &port];
    installation.kubectl(&service).expect("a Service");
    until("its author is told", PATIENCE, || {
        installation.events("held", "PortTakenOver").iter().any(|message| message.contains(&port))
    });

    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&e2e::machine("only", &container_disk(BLANK)));
    until("the only machine that has room runs", PATIENCE, || runs(&installation, "only"));
    let shim = processes(&installation, "only").expect("its Pod").shim();
    let resolver =
        std::fs::read_to_string(format!("/proc/{shim}/root/etc/resolv.conf")).expect("its resolver");
    assert!(!resolver.contains("10.96.0.10"), "nobody answers there: {resolver}");

    // Whoever comes later is told before it says that it is up.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let up = ["up", "--detach", "--listen", "127.0.0.1:0", "--pod-network", "10.97.12.0/30"];
    let mut second = std::process::Command::new(program("ironclad"));
    second.args(up).env("IRONCLAD_DATA_DIR", elsewhere.path());
    let taken = kit::run(second, None);
    assert!(!taken.success && taken.stderr.contains("10.97.12.0/30 is in use"), "{}", taken.stderr);
}

#[test]
fn without_root_a_port_of_the_node_is_carried_and_a_policy_is_not_silently_ignored() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: becoming an ordinary user needs root");
        return;
    }
    let installation = Installation::start(Options { user: User::Ordinary, ..Options::default() });
    installation.apply(&[SERVICE, &machine("server", "masquerade", "", SERVER)].concat());
    installation.apply(&policy("nobody"));
    until("the node's port answers", PATIENCE, || {
        page(NODE_PORT).is_some_and(|page| page.contains("hello from server"))
    });
    until("the policy's author is told", PATIENCE, || {
        installation.events("server", "NotEnforced").iter().any(|message| message.contains("as root"))
    });
    installation
        .kubectl(&["create", "service", "clusterip", "unserved", "--tcp", "80"])
        .expect("a Service without a port of the node");
    until("its author is told", PATIENCE, || {
        installation.events("unserved", "NotServed").iter().any(|message| message.contains("spec.clusterIP"))
    });
    assert!(installation.events("web", "NotServed").is_empty(), "its port of the node is served");
    installation.kubectl(&["delete", "service", "web"]).expect("deleting the Service");
    until("the port is closed", PATIENCE, || page(NODE_PORT).is_none());
}
