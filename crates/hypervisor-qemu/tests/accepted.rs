//! The real QEMU accepts every golden command line: it makes the machine and answers on its control socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

mod records;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hypervisor::contract::guest;
use hypervisor::{Access, Backend, RunState, Source, Surroundings, process};
use hypervisor_qemu::{Qemu, attach};
use records::{Machine, open_for};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use wire::machine::{Accelerator, DiskCache, DiskFormat, MachineRecord};

/// Makes the image that a descriptor of `record` stands for.
fn open(directory: &Path, record: &MachineRecord, name: &str, access: Access) -> OwnedFd {
    let layer = record.disks.iter().flat_map(|disk| &disk.chain).find(|layer| layer.descriptor == name);
    let format = match layer.map(|layer| layer.format) {
        Some(DiskFormat::Qcow2) => "qcow2",
        _ => "raw",
    };
    let path = directory.join(name.replace('/', "-"));
    if name == "boot/kernel" {
        std::fs::write(&path, guest::kernel()).unwrap();
    } else if name == "firmware/vars" {
        std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", &path).expect("ovmf is installed (make deps)");
    } else if name == "tpm/state" {
        File::create(&path).unwrap();
    } else if name == "firmware/slic" {
        std::fs::write(&path, table()).unwrap();
    } else {
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", format]).arg(&path).arg("1M").status();
        assert!(made.expect("qemu-img is installed (make deps)").success());
    }
    File::options().read(true).write(access == Access::ReadWrite).open(path).unwrap().into()
}

/// An ACPI table of eight bytes behind the header that each has.
fn table() -> Vec<u8> {
    let mut table = b"SLIC".to_vec();
    table.extend(44_u32.to_le_bytes());
    table.resize(44, 0);
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = sum.wrapping_neg();
    table
}

async fn accept((mut record, descriptors): Machine) {
    let directory = tempfile::tempdir().unwrap();
    // What this host may lack and the command line does not depend on.
    record.accelerator = Accelerator::Tcg;
    record.memory.hugepage_size = None;
    record.memory.size = record.memory.size.min(128 << 20);
    // Not every file system of a temporary directory can bypass the page cache.
    for disk in record.disks.iter_mut().filter(|disk| disk.cache == DiskCache::None) {
        disk.cache = DiskCache::Writeback;
        disk.io = None;
    }
    let names = open_for(descriptors);
    let surroundings = Surroundings {
        descriptors: &names,
        run_directory: directory.path(),
        socket_directory: directory.path(),
        now: 1_700_000_000,
    };
    let mut plan = Qemu::default().plan(&record, &surroundings).unwrap();
    // A tap needs a network of its own; the device in front of it does not care.
    for argument in &mut plan.args {
        if argument.contains("\"type\":\"tap\"") {
            let number: serde_json::Value = serde_json::from_str(argument).unwrap();
            *argument = serde_json::json!({"type": "user", "id": number["id"]}).to_string();
        }
    }
    let mut kept = Vec::new();
    let mut fds = Vec::new();
    for inherited in &plan.descriptors {
        let fd = match &inherited.source {
            Source::Descriptor(name) => open(directory.path(), &record, name, names[name]),
            Source::Channel(_) => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                kept.push(ours);
                theirs.into()
            }
        };
        fds.push((inherited.number, fd));
    }
    process::prepare(&plan).unwrap();
    let log = File::create(directory.path().join("log")).unwrap();
    for companion in &plan.companions {
        process::accompany(&plan, companion, &mut fds, log.as_fd()).unwrap();
    }
    let pid = Pid::from_raw(process::spawn(&plan, fds, log.as_fd()).unwrap()).unwrap();
    let words = || std::fs::read_to_string(directory.path().join("log")).unwrap();
    let attached = loop {
        if let Ok(attached) = attach(directory.path()).await {
            break attached;
        }
        let ended = waitpid(Some(pid), WaitOptions::NOHANG).unwrap();
        assert!(ended.is_none(), "QEMU refuses: {}", words());
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(attached.machine.state().await.unwrap(), RunState::Created);
    for nic in &record.nics {
        attached.machine.set_link(&nic.name, false).await.unwrap();
    }
    kill_process(pid, Signal::KILL).unwrap();
    waitpid(Some(pid), WaitOptions::empty()).unwrap();
    // What QEMU grumbles about today it refuses tomorrow.
    let warnings: Vec<_> =
        words().lines().filter(|line| !line.contains("TCG doesn't support")).map(str::to_owned).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}

macro_rules! accepted {
    ($($name:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            accept(records::$name()).await;
        }
    )*};
}

accepted! {
    the_smallest_machine;
    kernel_boot_with_everything_a_demo_has;
    uefi_with_variables_of_its_own;
    secure_boot_with_persistent_variables;
    disks_on_every_bus;
    processors_memory_identity_clock_and_graphics;
    network_models;
    small_devices;
    features_that_kvm_offers;
    features_under_emulation;
    disks_with_every_setting;
    a_pool_of_threads_for_all_disks;
    what_old_guests_need_and_what_is_kept;
}
