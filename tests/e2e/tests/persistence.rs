//! What outlives a machine's instance beside its disks: a TPM's memory and UEFI variables in a claim of the machine's own.
//! Beside it a guest of an older age: virtio of before 1.0; and a disk that both write to.

#![allow(clippy::format_collect, reason = "helpers of tests")]

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use e2e::claims::{claim, disk_of, phase};
use kit::{Installation, Options, until, until_none, until_some};

/// Two guests under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Prints what the guest finds, one `probe:` line each.
const PROBE: &str = r#"#!/bin/sh
say() { echo "probe: $*" > /dev/console; }
for d in /sys/bus/pci/devices/*; do say "pci $(cut -c3- $d/vendor):$(cut -c3- $d/device)"; done
say "slic $(wc -c < /sys/firmware/acpi/tables/SLIC)"
# TPM2_ReadClock; the reset counter is the third number of the answer.
exec 3<>/dev/tpm0 && printf '\200\001\000\000\000\012\000\000\001\201' >&3 &&
    say "resets $(dd bs=64 count=1 <&3 2>/dev/null | od -An -v -tu1 -j26 -N4)"
for b in /sys/block/[sv]d*; do [ "$(cat $b/size)" = 131072 ] && shared=/dev/${b##*/}; done
say "blocks $(cat /sys/block/${shared##*/}/queue/physical_block_size)"
"#;

fn seed(last: &str) -> String {
    format!("{PROBE}{last}\n").lines().map(|line| format!("            {line}\n")).collect()
}

fn manifest() -> String {
    let writes =
        seed("echo written by the other | dd of=$shared bs=4096 conv=sync oflag=direct 2>/dev/null\nsay end");
    let reads = seed(
        "until dd if=$shared bs=4096 count=1 iflag=direct 2>/dev/null | grep -q 'written by the other'; do sleep 1; done\n\
         say end",
    );
    let kernel = "kernelBoot:
          container: {image: 'ironclad.local/guest-kernel:0.1.0', kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.gz}
          kernelArgs: console=ttyS0 loglevel=4";
    let shared = "{name: shared, disk: {bus: virtio}, shareable: true, blockSize: {matchVolume: {}}}";
    format!(
        r#"apiVersion: v1
kind: Secret
metadata: {{name: tables}}
data: {{slic.bin: "{table}"}}
---
{claim}apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: kept}}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {{guest: 256Mi}}
        firmware:
          acpi: {{slicNameRef: tables}}
          bootloader: {{efi: {{secureBoot: false, persistent: true}}}}
          {kernel_deeper}
        devices:
          tpm: {{persistent: true}}
          disks: [{shared}, {{name: seed, disk: {{bus: virtio}}}}]
          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes:
      - {{name: shared, persistentVolumeClaim: {{claimName: data}}}}
      - {{name: tables, secret: {{secretName: tables}}}}
      - name: seed
        cloudInitNoCloud:
          userData: |
{writes}---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {{name: old}}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    memory: {{guest: 192Mi}}
    firmware:
        {kernel}
    devices:
      useVirtioTransitional: true
      rng: {{}}
      disks: [{shared}, {{name: seed, disk: {{bus: scsi}}}}]
      interfaces: [{{name: default, masquerade: {{}}}}]
  networks: [{{name: default, pod: {{}}}}]
  volumes:
  - {{name: shared, persistentVolumeClaim: {{claimName: data}}}}
  - name: seed
    cloudInitNoCloud:
      userData: |
{reads}"#,
        table = TABLE,
        claim = claim("data"),
        kernel_deeper = kernel.replace("\n  ", "\n    "),
    )
}

/// An ACPI table SLIC of 44 bytes, in base64: header with length and checksum, then nothing.
const TABLE: &str = "U0xJQywAAAAAqQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What the guest `name` has printed once it has looked around.
fn found(installation: &Installation, name: &str) -> Vec<String> {
    until_some(&format!("the guest {name} has looked around"), PATIENCE, || {
        let text = installation.console("default", name);
        text.contains("probe: end").then(|| {
            let lines = text.lines().filter_map(|line| line.split_once("probe: "));
            lines.map(|(_, line)| line.trim().to_owned()).collect()
        })
    })
}

fn one<'a>(found: &'a [String], key: &str) -> &'a str {
    let line = found.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    assert!(line.is_some(), "{key} is not among {found:#?}");
    line.unwrap_or_default()
}

/// The reset counter of the guest's TPM.
fn resets(found: &[String]) -> u32 {
    one(found, "resets")
        .split_whitespace()
        .fold(0, |sum, byte| sum * 256 + byte.parse::<u32>().expect("a byte"))
}

#[test]
#[ignore = "slow: make soak"]
fn a_machine_keeps_its_tpm_and_its_variables_and_an_old_guest_finds_what_it_knows() {
    let installation = Installation::start(Options::default());
    installation.apply(&manifest());

    let kept = found(&installation, "kept");
    assert_eq!(one(&kept, "slic"), "44");
    let claims = installation.list("pvc");
    let names: Vec<&str> = claims.iter().filter_map(|claim| claim["metadata"]["name"].as_str()).collect();
    let state = names.iter().find(|name| name.starts_with("persistent-state-for-kept-"));
    let state = (*state.unwrap_or_else(|| panic!("{names:?}"))).to_owned();
    let own = installation.get("pvc", "default", &state).expect("the machine's claim");
    assert_eq!(own["metadata"]["labels"]["persistent-state-for"], "kept");
    assert_eq!(own["metadata"]["ownerReferences"][0]["kind"], "VirtualMachine");
    let variables = disk_of(&installation, &state).with_file_name("firmware-variables.fd");
    let written = std::fs::read(&variables).expect("the machine's variables");
    let template = std::fs::read("/usr/share/OVMF/OVMF_VARS_4M.fd").expect("ovmf is installed (make deps)");
    assert!(written != template, "the firmware has written nothing");

    let old = found(&installation, "old");
    assert_eq!(one(&old, "blocks"), one(&kept, "blocks"));
    let devices: Vec<&str> = old.iter().filter_map(|line| line.strip_prefix("pci ")).collect();
    // Interface, disk, balloon, console, SCSI controller and random numbers by their old numbers; none by its new one.
    for model in ["1000", "1001", "1002", "1003", "1004", "1005"] {
        assert!(devices.contains(&format!("1af4:{model}").as_str()), "{model}: {devices:?}");
    }
    assert!(!devices.iter().any(|device| device.starts_with("1af4:104")), "{devices:?}");

    let before = resets(&kept);
    let inode = std::fs::metadata(&variables).expect("the file").ino();
    let first = installation.get("vmi", "default", "kept").expect("the instance");
    installation.kubectl(&["delete", "vmi", "kept", "--wait=false"]).expect("ending the instance");
    until("the machine has another instance", PATIENCE, || {
        let now = installation.get("vmi", "default", "kept");
        now.is_some_and(|now| now["metadata"]["uid"] != first["metadata"]["uid"])
    });
    until("it runs", PATIENCE, || phase(&installation, "vmi", "kept") == "Running");
    let again = found(&installation, "kept");
    assert_eq!(resets(&again), before + 1, "the TPM counts its restarts");
    assert_eq!(std::fs::metadata(&variables).expect("the file").ino(), inode);

    installation.kubectl(&["delete", "vm,vmi", "--all", "--wait", "--timeout", "60s"]).expect("deleting");
    until_none("what the machine kept goes with it", PATIENCE, || {
        let claims = installation.list("pvc").into_iter();
        let left = claims.filter(|claim| claim["metadata"]["name"] == state.as_str());
        left.map(|claim| claim["metadata"]["name"].to_string()).collect()
    });
}
