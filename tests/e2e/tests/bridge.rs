//! A machine whose manifest names no network has its Pod's own address, as root and as an ordinary user.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use e2e::alive::{self, Session};
use e2e::rough::runs;
use kit::{Installation, Options, User, program, until, until_some};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(180);
/// What the manifest of the other tests says of networks.
const NETWORK: &str = "          interfaces:
            - name: default
              masquerade: {}
      networks:
        - name: default
          pod: {}
";

/// A Service for the port on which the guest echoes.
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: NodePort
  selector: {app: hello}
  ports: [{port: 7777}]
";

/// The guest echoes, says its address, and connects to the port `port` of its gateway and of `host` for ever.
fn manifest(host: Option<IpAddr>, port: u16) -> String {
    let manifest = alive::manifest();
    assert!(manifest.contains(NETWORK), "the example names its network");
    let host = host.map(|host| host.to_string()).unwrap_or_default();
    let commands = [
        "nc -ll -p 7777 -e /bin/cat > /dev/null 2>&1 &",
        r#"echo "address $(ip -4 -o addr show dev eth0 | awk '{print $4}')" > /dev/console"#,
        &format!(
            "(while sleep 1; do for host in $(ip route | awk '/^default/{{print $3}}') {host}; do \
             echo hi | nc -w 2 $host {port}; done; done) > /dev/null 2>&1 &"
        ),
        alive::PROGRAM,
    ];
    let item = |command: &&str| format!("- {command}");
    let items: Vec<String> = commands.iter().map(item).collect();
    let items = items.join("\n                ");
    manifest.replace(NETWORK, "").replace(&item(&alive::PROGRAM), &items)
}

/// The host's own address on the way out, which `pasta` leads to; none on a host without one.
fn host_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn has_its_pods_address(user: User, is_root: bool) {
    let installation = Installation::start(Options { user, ..Options::default() });
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let host = host_address();
    installation.apply(SERVICE);
    installation.apply(&manifest(host, port));
    let told = until_some("the guest says its address", PATIENCE, || {
        // A login prompt may stand before it on the line.
        let console = installation.console("default", "hello");
        let (line, _) = console.split_once("address ")?.1.split_once('\n')?;
        Some(line.trim().to_owned())
    });
    until("its instance says that it runs", PATIENCE, || runs(&installation, "hello"));
    let pod = installation.list("pods").remove(0);
    let address = pod["status"]["podIP"].as_str().expect("the Pod has an address").to_owned();
    assert_eq!(told, format!("{address}/24"));
    let instance = installation.get("vmi", "default", "hello").expect("its instance");
    assert_eq!(instance["spec"]["domain"]["devices"]["interfaces"][0]["bridge"], json!({}));
    let shown = &instance["status"]["interfaces"][0];
    assert_eq!((&shown["ipAddress"], &shown["ipAddresses"]), (&json!(address), &json!([address])));
    assert_eq!((&shown["name"], &shown["podInterfaceName"]), (&json!("default"), &json!("eth0")));
    assert_eq!(shown["queueCount"], 1);
    assert!(shown["infoSource"].as_str().is_some_and(|source| source.contains("domain")), "{shown}");
    let moving = installation.condition("vmi", "hello", "LiveMigratable").expect("the condition");
    assert!(moving.contains("allow-pod-bridge-network-live-migration"), "{moving}");

    if is_root || host.is_some() {
        let (_, peer) = listener.accept().expect("the guest connects");
        assert!(!is_root || peer.ip().to_string() == address, "{peer} is the machine itself");
    } else {
        eprintln!("SKIPPED IN PART: this host has no way out");
    }
    let forwarded = free_port();
    let mut forward = installation
        .client_program(&program("virtctl"))
        .args(["port-forward", "vmi/hello", &format!("{forwarded}:7777")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("virtctl starts");
    Session::at(&format!("127.0.0.1:{forwarded}")).check("through virtctl");
    forward.kill().expect("it is killed");
    forward.wait().expect("it is reaped");
    let service = installation.get("service", "default", "echo").expect("the Service");
    let service = format!("127.0.0.1:{}", service["spec"]["ports"][0]["nodePort"]);
    until("the Service is served", PATIENCE, || alive::answers(&service));
    Session::at(&service).check("through the Service");

    // Without root, nobody reaches the guest but through our own process.
    let mut session = is_root.then(|| Session::open(&address));
    installation.kill();
    if let Some(session) = &mut session {
        session.check("nothing of ours runs");
    }
    installation.up();
    if let Some(session) = &mut session {
        session.check("all runs again");
    }
    until("the Service is served again", PATIENCE, || alive::answers(&service));
    Session::at(&service).check("through the Service again");
    let uptimes = alive::uptimes(&installation.console("default", "hello"));
    assert!(uptimes.is_sorted(), "the guest was not started again: {uptimes:?}");
    let again = installation.get("vmi", "default", "hello").expect("its instance");
    assert_eq!(again["metadata"]["uid"], instance["metadata"]["uid"]);
    assert_eq!(again["status"]["interfaces"][0]["ipAddresses"], json!([address]));

    installation.kubectl(&["delete", "vm", "hello", "--wait", "--timeout", "90s"]).expect("deleting it");
    until("its Pod is gone", Duration::from_secs(60), || installation.list("pods").is_empty());
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_machine_without_interfaces_has_its_pods_address() {
    has_its_pods_address(User::Own, rustix::process::geteuid().is_root());
}

#[test]
fn a_machine_of_an_ordinary_user_has_its_pods_address() {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED: becoming an ordinary user needs root; this user's own installation is the other test"
        );
        return;
    }
    has_its_pods_address(User::Ordinary, false);
}
