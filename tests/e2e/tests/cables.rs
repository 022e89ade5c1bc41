//! The cable of a machine's interface: out from the start, connected and pulled while its guest runs.

use std::time::Duration;

use e2e::rough::{end, processes};
use kit::{Installation, Options, until};

/// A guest under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The guest says what its interface's cable is like, whenever that changes, and that it has started, each time.
const MACHINE: &str = "
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: cable}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {guest: 160Mi}
        firmware:
          kernelBoot:
            container:
              image: ironclad.local/guest-kernel:0.1.0
              kernelPath: /boot/vmlinuz
              initrdPath: /boot/initrd.gz
            kernelArgs: console=ttyS0 loglevel=4
        devices:
          autoattachGraphicsDevice: false
          disks: [{name: seed, disk: {bus: virtio}}]
          interfaces: [{name: default, masquerade: {}, state: down}]
      networks: [{name: default, pod: {}}]
      volumes:
        - name: seed
          cloudInitNoCloud:
            userData: |
              #cloud-config
              runcmd:
                - |
                    echo guest-started > /dev/console
                    (last=; while sleep 1; do now=$(cat /sys/class/net/eth0/carrier)
                    [ \"$now\" = \"$last\" ] || echo \"carrier-$now-\" > /dev/console; last=$now
                    done) &
";

#[test]
fn a_cable_is_connected_and_pulled_without_the_guests_restart() {
    let installation = Installation::start(Options::default());
    installation.apply(MACHINE);
    // How the guest saw its cable, one after the other.
    let seen = || {
        let console = installation.console("default", "cable");
        let words = console.split("carrier-").skip(1).filter_map(|rest| rest.split_once('-'));
        words.map(|(state, _)| state.to_owned()).collect::<Vec<_>>()
    };
    let last = || seen().pop();
    let field = |pointer: &str| {
        let instance = installation.get("vmi", "default", "cable").unwrap_or_default();
        instance.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let link = || field("/status/interfaces/0/linkState");
    let set = |state: &str| {
        let patch = format!(
            r#"[{{"op": "replace", "path": "/spec/template/spec/domain/devices/interfaces/0/state", "value": "{state}"}}]"#
        );
        installation.kubectl(&["patch", "vm", "cable", "--type", "json", "-p", &patch]).expect("a new state");
    };

    until("the guest starts without a cable", PATIENCE, || !seen().is_empty());
    let uid = field("/metadata/uid");
    assert_eq!(last().as_deref(), Some("0"));
    until("the status says so", PATIENCE, || link() == "down");

    set("up");
    until("the guest sees the cable connected", PATIENCE, || last().as_deref() == Some("1"));
    until("the status says so", PATIENCE, || link() == "up");

    set("down");
    until("the guest sees the cable pulled", PATIENCE, || last().as_deref() == Some("0"));
    until("the status says so", PATIENCE, || link() == "down");

    // Whoever takes the machine over knows how it is by then, and can change it as well.
    let launcher = processes(&installation, "cable").and_then(|processes| processes.launcher());
    end(launcher.expect("a launcher"));
    set("up");
    until("the guest sees the cable connected again", PATIENCE, || last().as_deref() == Some("1"));
    until("the status says so", PATIENCE, || link() == "up");

    assert_eq!(field("/metadata/uid"), uid, "the instance stays");
    let console = installation.console("default", "cable");
    assert_eq!(console.matches("guest-started").count(), 1, "the guest runs on: {console}");
    assert!(installation.condition("vm", "cable", "RestartRequired").is_none());
}
