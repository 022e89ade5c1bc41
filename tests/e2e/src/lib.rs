//! End-to-end tests stand in `tests/`: each starts an installation of its own and drives it as a user would. Here is
//! what several of them use.

pub mod agents;
pub mod alive;
pub mod claims;
pub mod guests;
pub mod pools;
pub mod requests;
pub mod rough;
pub mod streams;

use std::time::Duration;

use kit::{Installation, Options, repository, until};

const PATIENCE: Duration = Duration::from_secs(120);

/// A machine that does not run.
pub const HALTED: &str = r"
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: halted
spec:
  runStrategy: Halted
  template:
    spec:
      domain:
        memory: {guest: 64Mi}
        devices: {}
";

/// Starts a control plane without an agent: objects only.
pub fn control_plane() -> Installation {
    Installation::start(Options { nodes: 0, images: false, ..Options::default() })
}

/// Sets what the installation's own object configures, and waits until its controllers act by that.
///
/// # Panics
/// When they do not.
pub fn configure(installation: &Installation, configuration: &str) {
    let patch = format!(r#"{{"spec":{{"configuration":{configuration}}}}}"#);
    let patch = ["patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type", "merge", "-p", &patch];
    installation.kubectl(&patch).expect("configuring the installation");
    until("the controllers act by that", PATIENCE, || {
        let object = installation.get("kubevirt", "kubevirt", "kubevirt").unwrap_or_default();
        let seen = &object["status"]["observedGeneration"];
        seen.is_number() && *seen == object["metadata"]["generation"]
    });
}

/// Returns a manifest of `examples/`.
///
/// # Panics
/// When there is none of that name.
pub fn example(name: &str) -> String {
    std::fs::read_to_string(repository().join("examples").join(name)).expect("an example")
}

/// Reference of an image whose disk is empty: its machine executes and never boots.
pub const BLANK: &str = "test.local/blank:1";

/// Content of [`BLANK`].
pub fn blank() -> Vec<u8> {
    vec![0; 1 << 20]
}

/// Returns the manifest of the smallest VirtualMachine: one volume `d`, described by `volume`, and no grace period.
pub fn machine(name: &str, volume: &str) -> String {
    format!(
        "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: {name}}}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {{guest: 64Mi}}
        devices:
          autoattachGraphicsDevice: false
          disks: [{{name: d, disk: {{bus: virtio}}}}]
          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes:
        - name: d
          {volume}
---
"
    )
}

/// Returns the volume that takes its disk from an image.
pub fn container_disk(image: &str) -> String {
    format!("containerDisk: {{image: '{image}'}}")
}
