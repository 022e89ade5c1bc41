//! What a network lacks is said where people look, and machines go on once it is there again.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use kit::{Installation, Options, User, until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
/// Room for a gateway and one Pod.
const NETWORK: &str = "10.77.77.0/30";

/// A machine that has nothing to boot, which takes an address all the same.
fn machine(name: &str) -> String {
    e2e::machine(name, "emptyDisk: {capacity: 1Mi}")
}

/// A Service of the first machine: without root a port is open while there is a Pod to carry to.
fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: NodePort
  selector: {{vm.kubevirt.io/name: first}}
  ports: [{{port: 80, nodePort: {port}}}]
"
    )
}

fn runs(installation: &Installation, name: &str) -> bool {
    installation.get("vmi", "default", name).is_some_and(|instance| instance["status"]["phase"] == "Running")
}

/// Everything that the conditions of an object say.
fn says(object: &Value) -> String {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter_map(|condition| condition["message"].as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_full_network_and_a_taken_port_are_told_of_and_waited_for() {
    let user = if rustix::process::geteuid().is_root() { User::Ordinary } else { User::Own };
    let options = Options { user, images: false, pod_network: Some(NETWORK), ..Options::default() };
    let installation = Installation::start(options);

    installation.apply(&machine("first"));
    until("the first machine runs", PATIENCE, || runs(&installation, "first"));
    installation.apply(&machine("second"));
    until("the second machine says that no address is left", PATIENCE, || {
        let instance = installation.get("vmi", "default", "second").unwrap_or_default();
        says(&instance).contains(&format!("no address is left in the Pod network {NETWORK}"))
    });
    assert!(runs(&installation, "first"), "who has an address keeps it");

    // Meanwhile a port of the node that somebody else holds.
    let taken = (30_000..32_767).find_map(|port| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
        Some((listener, port))
    });
    let (holder, port) = taken.expect("a free port of the node");
    installation.apply(&service("web", port));
    until("the Service's author is told", PATIENCE, || {
        installation.events("web", "PortUnavailable").iter().any(|event| event.contains(&port.to_string()))
    });
    let again = installation.kubectl_with(&["apply", "-f", "-"], Some(&service("other", port)));
    assert!(!again.success && again.stderr.contains("already allocated"), "{}", again.stderr);
    drop(holder);
    until("the port is open", PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());

    installation.kubectl(&["delete", "vm", "first"]).expect("deleting the first machine");
    until("the second machine runs", PATIENCE, || runs(&installation, "second"));
}
