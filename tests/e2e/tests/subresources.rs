//! Consoles, screens and ports as any client of KubeVirt's API sees them: websockets with plain bytes, here through
//! `kubectl proxy`, as web interfaces come.

use std::time::Duration;

use e2e::example;
use e2e::streams::{INSTANCES, Proxy, Stream};
use kit::{Installation, Options, kubectl, until};
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_machine_is_reached_by_websockets() {
    let installation = Installation::start(Options::default());
    let proxy = Proxy::start(&installation);
    let manifest =
        example("hello.yaml").replace("autoattachGraphicsDevice: false", "autoattachGraphicsDevice: true");
    installation.apply(&manifest);

    // Refused before the upgrade, as an ordinary answer.
    assert_eq!(proxy.refused("/nobody/console"), 404);
    let absent = complaint(&installation, "/nobody/console");
    assert!(absent.contains("virtualmachineinstance.kubevirt.io \"nobody\" not found"), "{absent}");

    until("the machine runs", PATIENCE, || {
        let instance = installation.get("virtualmachineinstance", "default", "hello").unwrap_or_default();
        instance["status"]["phase"] == "Running"
    });
    screens_show_one_viewer(&installation, &proxy);
    consoles_are_shared(&proxy);
    ports_lead_into_the_guest(&installation, &proxy);
    a_guest_without_an_agent_is_told_of(&installation);
    streams_end_with_their_machine(&installation, &proxy);
}

/// A machine with neither disk nor agent.
const BARE: &str = "
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: bare}
spec:
  domain: {devices: {}, memory: {guest: 64Mi}}
";

fn a_guest_without_an_agent_is_told_of(installation: &Installation) {
    installation.apply(BARE);
    until("the machine without an agent runs", PATIENCE, || {
        let instance = installation.get("virtualmachineinstance", "default", "bare").unwrap_or_default();
        instance["status"]["phase"] == "Running"
    });
    for order in ["freeze", "unfreeze"] {
        let path = format!("{INSTANCES}/bare/{order}");
        let refused = installation.kubectl_with(&["replace", "--raw", &path, "-f", "-"], Some("{}"));
        assert!(!refused.success, "{order}: {}", refused.stdout);
        assert!(refused.stderr.contains("the guest agent does not answer"), "{order}: {}", refused.stderr);
    }
}

fn consoles_are_shared(proxy: &Proxy) {
    let mut first = proxy.open("/hello/console");
    assert!(first.read_until("hello login:").contains("hello login:"));
    // Somebody who comes later is shown what was there, and both see what follows.
    let mut second = proxy.open("/hello/console");
    second.read_until("hello login:");
    first.send(b"guest\n");
    second.read_until("Password:");
    first.send(b"guest\n");
    first.read_until("$ ");
    second.send(b"echo $((6*7))-times\n");
    first.read_until("42-times");
    second.read_until("42-times");
    // Text frames are no part of the protocol.
    first.socket.send(Message::Text("echo typed as text\n".into())).expect("sending");
    first.send(b"echo $((7*7))-times\n");
    let shown = first.read_until("49-times");
    assert!(!shown.contains("typed as text"), "{shown}");
    drop((first, second));
    let mut later = proxy.open("/hello/console");
    later.read_until("49-times");
}

fn screens_show_one_viewer(installation: &Installation, proxy: &Proxy) {
    let picture = installation
        .client_program(&kubectl())
        .args(["get", "--raw", &format!("{INSTANCES}/hello/vnc/screenshot")])
        .output()
        .expect("kubectl");
    assert!(picture.stdout.starts_with(b"\x89PNG\r\n"), "{}", String::from_utf8_lossy(&picture.stderr));

    let mut first = proxy.open("/hello/vnc");
    first.read_until("RFB 003.");
    assert_eq!(proxy.refused("/hello/vnc?preserveSession=true"), 500);
    let occupied = complaint(installation, "/hello/vnc?preserveSession=true");
    assert!(occupied.contains("the machine's screen has a viewer already"), "{occupied}");
    let mut second = proxy.open("/hello/vnc");
    second.read_until("RFB 003.");
    first.read_to_close();
}

fn ports_lead_into_the_guest(installation: &Installation, proxy: &Proxy) {
    let mut banner = String::new();
    until("the guest's SSH server answers", PATIENCE, || {
        let Ok(mut stream) = proxy.try_open("/hello/portforward/22") else { return false };
        banner = stream.read_until("\n");
        true
    });
    assert!(banner.starts_with("SSH-2.0-"), "{banner}");
    assert_eq!(proxy.refused("/hello/portforward/9"), 500);
    let closed = complaint(installation, "/hello/portforward/9");
    assert!(closed.contains("dialing VM: "), "{closed}");
}

/// A guest that is killed closes no connection.
fn streams_end_with_their_machine(installation: &Installation, proxy: &Proxy) {
    let mut streams =
        [proxy.open("/hello/console"), proxy.open("/hello/vnc"), proxy.open("/hello/portforward/22")];
    streams[2].read_until("SSH-2.0-");
    let mut unanswered = proxy.open("/hello/portforward/53/udp");
    let stop = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/hello/stop";
    let now = r#"{"gracePeriod": 0}"#;
    installation.kubectl_with(&["replace", "--raw", stop, "-f", "-"], Some(now)).expect("stopping by force");
    streams.iter_mut().chain([&mut unanswered]).for_each(Stream::read_to_close);
}

/// What is said about a path that is refused, to a client that asks without a websocket.
fn complaint(installation: &Installation, path: &str) -> String {
    installation.kubectl(&["get", "--raw", &format!("{INSTANCES}{path}")]).stderr
}
