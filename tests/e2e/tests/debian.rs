//! A full Debian guest with the real cloud-init, from the images that `guest/debian/build` makes: too slow for every
//! change, so `make soak` asks for it. It needs root, whose Pods the host can reach.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kit::{Installation, Options, repository, until, until_some};

/// A whole Debian under emulation, beside another one.
const PATIENCE: Duration = Duration::from_secs(900);

/// The machine `name`; `domain` says what it starts from.
fn machine(name: &str, key: &str, domain: &str) -> String {
    format!(
        r"apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: {name}}}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 120
      domain:
        cpu: {{cores: 2}}
        memory: {{guest: 768Mi}}
{domain}
        devices:
          rng: {{}}
          disks:
            - {{name: root, disk: {{bus: virtio}}, bootOrder: 1}}
            - {{name: seed, disk: {{bus: virtio}}}}
          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes:
        - {{name: root, containerDisk: {{image: 'ironclad.local/debian:12'}}}}
        - name: seed
          cloudInitNoCloud:
            userData: |
              #cloud-config
              hostname: {name}
              ssh_authorized_keys: ['{key}']
---
"
    )
}

const SECURE: &str = "        features: {smm: {enabled: true}}
        firmware: {bootloader: {efi: {secureBoot: true}}}";

const DIRECT: &str = "        firmware:
          kernelBoot:
            container: {image: 'ironclad.local/debian-kernel:12', kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.img}
            kernelArgs: root=LABEL=debian-root ro console=ttyS0";

struct Guest<'a> {
    installation: &'a Installation,
    name: &'a str,
    key: &'a Path,
}

impl Guest<'_> {
    fn status(&self) -> serde_json::Value {
        self.installation
            .get("vmi", "default", self.name)
            .map(|vmi| vmi["status"].clone())
            .unwrap_or_default()
    }

    /// Runs a command in the guest; nothing if it cannot be reached or the command fails.
    fn run(&self, command: &str) -> Option<String> {
        let address = self.status()["interfaces"][0]["ipAddress"].as_str()?.to_owned();
        let output = Command::new("ssh")
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "BatchMode=yes",
            ])
            .args(["-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"])
            // A guest that restarts may forget a connection without a word.
            .args(["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6", "-i"])
            .arg(self.key)
            .arg(format!("debian@{address}"))
            .arg(command)
            .output()
            .expect("ssh is installed (make deps)");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn reached(&self, command: &str) -> String {
        until_some(&format!("{} runs {command}", self.name), PATIENCE, || self.run(command))
    }
}

#[test]
#[ignore = "takes many minutes and images of its own; `make soak` runs it"]
fn a_full_debian_boots_talks_restarts_and_keeps_its_disk() {
    assert!(rustix::process::geteuid().is_root(), "the host reaches the Pods of root's installations only");
    let installation = Installation::start(Options { images: false, ..Options::default() });
    for archive in ["debian.oci.tar", "debian-kernel.oci.tar"] {
        let path = repository().join("guest/out").join(archive);
        let path = path.to_str().expect("a path in UTF-8");
        installation
            .ironclad(&["image", "load", path])
            .expect("loading an image that guest/debian/build has made");
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = directory.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("ssh-keygen is installed (make deps)").success());
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("the public key");
    let public = public.trim();
    installation.apply(&(machine("secure", public, SECURE) + &machine("direct", public, DIRECT)));

    for name in ["secure", "direct"] {
        let guest = Guest { installation: &installation, name, key: &key };
        until(&format!("the agent of {name} answers"), PATIENCE, || {
            guest.status()["guestOSInfo"]["id"].as_str() == Some("debian")
        });
        assert_eq!(guest.reached("cloud-init status --wait >&2; hostname"), name);
        let secure = guest.reached("sudo dmesg | grep -ci 'secure boot enabled' || true");
        assert_eq!(secure != "0", name == "secure", "{name}: {secure}");

        guest.reached("echo kept > kept && sync");
        let boot = guest.reached("cat /proc/sys/kernel/random/boot_id");
        // The connection ends with the guest's life.
        guest.run("sudo systemctl reboot");
        until(&format!("{name} has restarted"), PATIENCE, || {
            guest.run("cat /proc/sys/kernel/random/boot_id").is_some_and(|now| now != boot)
        });
        assert_eq!(guest.reached("cat kept"), "kept");
    }
    installation
        .kubectl(&["delete", "vm", "--all", "--wait", "--timeout", "300s"])
        .expect("the guests heed their power buttons");
}
