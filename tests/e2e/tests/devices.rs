//! Devices as guests see them: two machines, one started by BIOS and one by UEFI, with most of what a specification can
//! ask for. Each prints what it finds on its serial console. Then one panics, and the other's watchdog expires.

#![allow(clippy::format_collect, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

use e2e::configure;
use kit::{Installation, Options, until};

/// Two guests under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Prints what the guest finds, one `probe:` line each, and then does what `last` says.
fn probe(last: &str) -> String {
    let script = r#"#!/bin/sh
say() { echo "probe: $*" > /dev/console; }
modprobe -a pvpanic-mmio pvpanic-pci virtio_input
for d in /sys/bus/pci/devices/*; do
    say "pci ${d##*/} $(cut -c3- $d/vendor):$(cut -c3- $d/device)"
done
for f in sys_vendor product_uuid product_serial chassis_vendor chassis_version chassis_serial chassis_asset_tag; do
    say "dmi $f $(cat /sys/class/dmi/id/$f)"
done
for b in /sys/block/[sv]d*; do
    serial=$(cat $b/serial 2>/dev/null || tail -c +5 $b/device/vpd_pg80)
    say "block $serial $(cat $b/size) $(cat $b/queue/logical_block_size) $(cat $b/queue/physical_block_size) $(ls $b/mq | wc -l) $(readlink -f $b | grep -o '0000:00:[0-9a-f.]*' | head -1)"
done
for r in /dev/sr*; do say "drive ${r##*/} $(head -c 1 $r > /dev/null 2>&1 && echo medium || echo empty)"; done
say "firmware $(test -d /sys/firmware/efi && echo uefi || echo bios)"
say "topology $(nproc) $(cat /sys/devices/system/cpu/cpu1/topology/core_siblings_list)"
for flag in aes sse2; do say "flag $flag $(grep -cw $flag /proc/cpuinfo)"; done
say "rtc $(cat /sys/class/rtc/rtc0/date) $(cat /sys/class/rtc/rtc0/time)"
say "hpet $(test -d /sys/firmware/acpi/tables && ls /sys/firmware/acpi/tables | grep -c HPET)"
say "index $(cat $(readlink -f /sys/class/net/eth0/device)/../acpi_index)"
say "pointer $(grep -c 'QEMU Virtio Tablet' /proc/bus/input/devices)"
say "tpm $(cat /sys/class/tpm/tpm0/tpm_version_major)"
say end
"#;
    let script = format!("{script}{last}\n");
    script.lines().map(|line| format!("              {line}\n")).collect()
}

/// Writes to the registers of the Intel 6300ESB: two stages of some 0.1 s each, and go.
const EXPIRE: &str = r#"for d in /sys/bus/pci/devices/*; do [ "$(cat $d/device)" = 0x25ab ] && w=$d; done
echo 1 > $w/enable
bar=$(head -1 $w/resource | cut -d' ' -f1)
open() { devmem $((bar + 12)) 16 0x80; devmem $((bar + 12)) 16 0x86; }
open; devmem $bar 32 100
open; devmem $((bar + 4)) 32 100
printf '\002' | dd of=$w/config bs=1 seek=104 conv=notrunc 2>/dev/null"#;

fn manifest() -> String {
    let bios = probe("echo c > /proc/sysrq-trigger");
    let uefi = probe(EXPIRE);
    format!(
        r#"
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {{name: bios}}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    cpu:
      sockets: 1
      cores: 2
      features: [{{name: aes, policy: disable}}, {{name: hle, policy: optional}}]
    memory: {{guest: 192Mi}}
    chassis: {{manufacturer: Sheet Metal, version: "2", serial: c-1, asset: a-1, sku: k-1}}
    firmware:
      uuid: 5d307ca9-b3ef-428c-8861-06e72d69f223
      serial: s-1
      bootloader: {{bios: {{useSerial: true}}}}
    clock:
      timezone: Asia/Tokyo
      timer: {{hpet: {{present: false}}}}
    features: {{acpi: {{}}, kvm: {{hidden: true}}}}
    ioThreadsPolicy: auto
    devices:
      blockMultiQueue: true
      rng: {{}}
      video: {{type: virtio}}
      inputs: [{{name: usb, type: tablet, bus: usb}}, {{name: virtio, type: tablet, bus: virtio}}]
      sound: {{name: sound, model: ac97}}
      tpm: {{}}
      watchdog: {{name: dog, i6300esb: {{action: reset}}}}
      panicDevices: [{{model: isa}}, {{model: pvpanic}}]
      disks:
        - {{name: root, disk: {{bus: virtio}}, bootOrder: 1, serial: ROOT, io: threads}}
        - {{name: seed, disk: {{bus: virtio}}, serial: SEED}}
        - name: large
          disk: {{bus: virtio, pciAddress: "0000:00:0a.0"}}
          serial: LARGE
          dedicatedIOThread: true
          cache: writethrough
          errorPolicy: enospace
          blockSize: {{custom: {{logical: 4096, physical: 4096}}}}
        - {{name: scsi, disk: {{bus: scsi}}, serial: SCSI}}
        - {{name: stick, disk: {{bus: usb}}, serial: STICK}}
        - {{name: sata, disk: {{bus: sata}}, serial: SATA}}
        - {{name: tray, cdrom: {{bus: scsi, tray: open}}}}
      interfaces: [{{name: default, masquerade: {{}}, acpiIndex: 7}}]
  networks: [{{name: default, pod: {{}}}}]
  volumes:
    - {{name: root, containerDisk: {{image: 'ironclad.local/guest:0.1.0'}}}}
    - {{name: large, emptyDisk: {{capacity: 4Mi}}}}
    - {{name: scsi, emptyDisk: {{capacity: 5Mi}}}}
    - {{name: stick, emptyDisk: {{capacity: 6Mi}}}}
    - {{name: sata, emptyDisk: {{capacity: 7Mi}}}}
    - {{name: tray, emptyDisk: {{capacity: 8Mi}}}}
    - name: seed
      cloudInitNoCloud:
        userData: |
{bios}---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {{name: uefi}}
spec:
  terminationGracePeriodSeconds: 0
  domain:
    cpu: {{sockets: 2, cores: 1, model: Nehalem}}
    memory: {{guest: 256Mi}}
    firmware:
      bootloader: {{efi: {{secureBoot: false}}}}
      kernelBoot:
        container: {{image: 'ironclad.local/guest-kernel:0.1.0', kernelPath: /boot/vmlinuz, initrdPath: /boot/initrd.gz}}
        kernelArgs: console=ttyS0 loglevel=6
    clock: {{utc: {{offsetSeconds: -86400}}}}
    devices:
      autoattachInputDevice: true
      autoattachMemBalloon: false
      sound: {{name: sound}}
      watchdog: {{name: dog, i6300esb: {{action: poweroff}}}}
      disks:
        - {{name: seed, disk: {{bus: scsi}}, serial: SEED}}
        - {{name: disc, cdrom: {{bus: scsi}}}}
      interfaces: [{{name: default, masquerade: {{}}, model: e1000}}]
  networks: [{{name: default, pod: {{}}}}]
  volumes:
    - {{name: disc, emptyDisk: {{capacity: 2Mi}}}}
    - name: seed
      cloudInitNoCloud:
        userData: |
{uefi}"#
    )
}

/// A machine's console, followed from its start: it outlives the machine.
struct Console {
    text: tempfile::NamedTempFile,
    follower: Child,
}

impl Console {
    fn follow(installation: &Installation, name: &str) -> Self {
        until(&format!("the machine {name} runs"), PATIENCE, || {
            installation
                .get("vmi", "default", name)
                .is_some_and(|instance| instance["status"]["phase"] == "Running")
        });
        let text = tempfile::NamedTempFile::new().expect("a temporary file");
        let selector = format!("vm.kubevirt.io/name={name}");
        let words = ["logs", "-f", "--tail", "-1", "-l", &selector, "-c", "guest-console-log"];
        let follower = installation.kubectl_in_background(&words, text.reopen().expect("a file"));
        Self { text, follower }
    }

    fn read(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.text.path()).expect("a file")).into_owned()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It has most likely ended with the machine.
        let _ = self.follower.kill();
        let _ = self.follower.wait();
    }
}

/// What a guest printed, line by line.
struct Found(Vec<String>);

impl Found {
    fn wait(console: &Console, name: &str) -> Self {
        until(&format!("the guest {name} has looked around"), PATIENCE, || {
            console.read().contains("probe: end")
        });
        let text = console.read();
        let lines = text.lines().filter_map(|line| line.split_once("probe: "));
        Self(lines.map(|(_, line)| line.trim().to_owned()).collect())
    }

    fn one(&self, key: &str) -> &str {
        let found = self.0.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        assert!(found.is_some(), "{key} is not among {:#?}", self.0);
        found.unwrap_or_default()
    }

    /// Vendor and model of every PCI device, with its place.
    fn pci(&self) -> BTreeMap<&str, &str> {
        self.0.iter().filter_map(|line| line.strip_prefix("pci ")?.split_once(' ')).collect()
    }

    fn has(&self, model: &str) -> bool {
        self.pci().values().any(|found| *found == model)
    }
}

#[test]
fn guests_find_what_their_specifications_ask_for() {
    let installation = Installation::start(Options::default());
    let gates = r#"{"developerConfiguration":{"featureGates":["PanicDevices","VideoConfig"]}}"#;
    configure(&installation, gates);
    let manifest = manifest();
    until("the gates are open", PATIENCE, || {
        installation.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], Some(&manifest)).success
    });
    installation.apply(&manifest);

    let consoles = ["bios", "uefi"].map(|name| Console::follow(&installation, name));
    let bios = Found::wait(&consoles[0], "bios");
    assert!(consoles[0].read().contains("SeaBIOS"), "the firmware writes to the console");
    assert_eq!(bios.one("firmware"), "bios");
    for (what, model) in [
        ("virtio graphics", "1af4:1050"),
        ("USB controller", "1b36:000d"),
        ("virtio tablet", "1af4:1052"),
        ("AC'97", "8086:2415"),
        ("watchdog", "8086:25ab"),
        ("panic device", "1b36:0011"),
        ("virtio-scsi", "1af4:1004"),
        ("AHCI", "8086:2922"),
    ] {
        assert!(bios.has(model), "{what}: {:?}", bios.pci());
    }
    assert_eq!(bios.pci()["0000:00:0a.0"], "1af4:1001", "the disk stands where it was told to");
    assert_eq!(bios.one("dmi product_uuid"), "5d307ca9-b3ef-428c-8861-06e72d69f223");
    assert_eq!(bios.one("dmi product_serial"), "s-1");
    assert_eq!(bios.one("dmi chassis_vendor"), "Sheet Metal");
    assert_eq!(bios.one("dmi chassis_version"), "2");
    assert_eq!(bios.one("dmi chassis_serial"), "c-1");
    assert_eq!(bios.one("dmi chassis_asset_tag"), "a-1");
    // Sectors of 512 bytes, sizes of blocks, queues, place.
    assert_eq!(bios.one("block LARGE"), "8192 4096 4096 2 0000:00:0a.0");
    assert!(bios.one("block ROOT").contains(" 512 512 2 "), "{}", bios.one("block ROOT"));
    assert!(bios.one("block SCSI").starts_with("10240 512 "), "{}", bios.one("block SCSI"));
    assert_eq!(bios.one("drive sr0"), "empty", "there is no medium behind an open tray");
    assert_eq!(bios.one("topology"), "2 0-1");
    assert_eq!((bios.one("flag aes"), bios.one("flag sse2")), ("0", "2"));
    assert_eq!(bios.one("hpet"), "0");
    assert_eq!(bios.one("index"), "7");
    assert_eq!(bios.one("pointer"), "1");
    assert_eq!(bios.one("tpm"), "2");
    assert_eq!(clock(&bios), 9, "the guest's clock shows Tokyo's time");

    let uefi = Found::wait(&consoles[1], "uefi");
    assert_eq!(uefi.one("firmware"), "uefi");
    for (what, model) in [
        ("Bochs' display", "1234:1111"),
        ("USB controller", "1b36:000d"),
        ("HD Audio", "8086:293e"),
        ("watchdog", "8086:25ab"),
        ("virtio-scsi", "1af4:1004"),
        ("e1000", "8086:100e"),
    ] {
        assert!(uefi.has(model), "{what}: {:?}", uefi.pci());
    }
    // Virtio's devices have another number where they can do without the old interface.
    for (what, models) in
        [("random numbers", ["1af4:1044", "1af4:1005"]), ("balloon", ["1af4:1045", "1af4:1002"])]
    {
        assert!(models.iter().any(|model| bios.has(model)), "{what}: {:?}", bios.pci());
        assert!(!models.iter().any(|model| uefi.has(model)), "{what} was not wanted: {:?}", uefi.pci());
    }
    assert_eq!(uefi.one("topology"), "2 1");
    assert_eq!(uefi.one("flag aes"), "0", "a Nehalem has no such instructions");
    assert_eq!(uefi.one("drive sr0"), "medium");
    assert_eq!(clock(&uefi), -24, "the guest's clock lags a day");
    assert_eq!(uefi.one("hpet"), "1");

    for (name, words) in
        [("bios", "the guest panicked"), ("uefi", "the guest's watchdog expired and ended the machine")]
    {
        until(&format!("the instance {name} has failed"), PATIENCE, || {
            installation
                .get("vmi", "default", name)
                .is_some_and(|instance| instance["status"]["phase"] == "Failed")
        });
        until(&format!("an event says why {name} has failed"), PATIENCE, || {
            installation.events(name, "Stopped") == [words]
        });
    }
}

/// Whole hours between the host's time in UTC and what the guest's real-time clock shows.
fn clock(found: &Found) -> i64 {
    let date = |of: &str| -> i64 {
        let output = std::process::Command::new("date").args(["-u", "-d", of, "+%s"]).output().expect("date");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a time")
    };
    (date(found.one("rtc")) - date("now") + 1800).div_euclid(3600)
}
