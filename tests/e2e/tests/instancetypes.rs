//! Machines that name their size and their guest.

use std::time::Duration;

use e2e::{configure, example};
use kit::{Installation, Options, until, until_some};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(180);

/// What the guest says of its processors, and of its memory in KiB, in its last start.
fn sizes(installation: &Installation) -> Option<(u32, u64)> {
    let said = installation.console("default", "named");
    let line = said
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .rev()
        .find_map(|line| line.split_once("processors ").map(|(_, rest)| rest.to_owned()))?;
    let (processors, memory) = line.split_once(" memory ")?;
    Some((processors.trim().parse().ok()?, memory.trim().parse().ok()?))
}

fn machine(installation: &Installation) -> Value {
    installation.get("vm", "default", "named").unwrap_or_default()
}

#[test]
fn a_guest_has_the_size_that_its_machine_names_and_keeps_it_when_names_are_replaced() {
    let installation = Installation::start(Options::default());
    let kind = "virtualmachineclusterinstancetypes";
    until("the common instance types are there", PATIENCE, || {
        installation.get(kind, "", "o1.nano").is_some()
            && installation.get("virtualmachineclusterpreferences", "", "linux").is_some()
    });
    let created = installation.kubectl_with(&["apply", "-f", "-"], Some(&example("named.yaml")));
    assert!(!created.stderr.contains("Warning"), "{}", created.stderr);
    created.expect("creating the machine");
    let (processors, memory) = until_some("the guest says its size", PATIENCE, || sizes(&installation));
    // Half a gibibyte, of which a kernel keeps some for itself.
    assert!(processors == 1 && (400 << 10..=512 << 10).contains(&memory), "{processors} {memory}");
    let instance = installation.get("vmi", "default", "named").expect("the instance");
    let disks = &instance["spec"]["domain"]["devices"]["disks"];
    assert_eq!(disks[0]["disk"]["bus"], "virtio", "{disks}");
    assert_eq!(instance["metadata"]["annotations"]["kubevirt.io/cluster-instancetype-name"], "o1.nano");
    // The node is asked for less than the guest sees.
    let requests = &instance["spec"]["domain"]["resources"]["requests"];
    assert_eq!(requests["memory"], "256Mi", "{requests}");

    configure(&installation, r#"{"instancetype":{"referencePolicy":"expandAll"}}"#);
    until("the machine says itself what it named", PATIENCE, || {
        let spec = &machine(&installation)["spec"];
        spec.get("instancetype").is_none()
            && spec.get("preference").is_none()
            && spec["template"]["spec"]["domain"]["memory"]["guest"] == "512Mi"
    });
    let same = installation.get("vmi", "default", "named").expect("the instance");
    assert_eq!(same["metadata"]["uid"], instance["metadata"]["uid"], "nothing restarts");
    installation.kubectl(&["delete", "vmi", "named", "--wait", "--timeout", "120s"]).expect("restarting");
    until("another instance runs, alone", PATIENCE, || {
        let next = installation.get("vmi", "default", "named").unwrap_or_default();
        next["metadata"]["uid"] != instance["metadata"]["uid"]
            && next["status"]["phase"] == "Running"
            && installation.list("pods").len() == 1
    });
    let (processors, memory) = until_some("the guest says its size again", PATIENCE, || sizes(&installation));
    assert!(processors == 1 && (400 << 10..=512 << 10).contains(&memory), "{processors} {memory}");
}
