//! A disk of the node that loses blocks under a machine: one disk has the machine wait, another has its guest hear of it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::claims::allow_host_disks;
use e2e::example;
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
const SIZE: u64 = 128 << 20;
/// What is left of it: its own bookkeeping.
const LEFT: u64 = 4 << 20;
/// User of the hypervisor.
const USER: u32 = 107;

/// A file system with two disks, whose blocks are in a file that can be cut short. Unmounted when it is dropped.
struct Fragile {
    blocks: PathBuf,
    mount: PathBuf,
    device: String,
}

impl Fragile {
    /// Makes one in `folder`; `None` where this user or this machine cannot.
    fn make(folder: &Path) -> Option<Self> {
        let (blocks, mount) = (folder.join("blocks"), folder.join("fragile"));
        std::fs::create_dir(&mount).expect("a directory");
        File::create(&blocks).and_then(|file| file.set_len(SIZE)).expect("a file");
        let device = run("losetup", &["--show", "--find", &text(&blocks)])?;
        let disk = Self { blocks, mount, device };
        // All that is not a file's own content at the beginning, and little of it.
        run("mkfs.ext4", &["-q", "-N", "64", "-O", "^has_journal,^resize_inode", &disk.device])?;
        run("mount", &[&disk.device, &text(&disk.mount)])?;
        for name in ["stops.img", "reports.img"] {
            let path = disk.mount.join(name);
            let mut file = File::create(&path).expect("a disk");
            file.write_all(&vec![7; 40 << 20]).expect("its content");
            file.sync_all().expect("it is written");
            let user = rustix::fs::Uid::from_raw(USER);
            rustix::fs::chown(&path, Some(user), Some(rustix::fs::Gid::from_raw(USER))).expect("root may");
        }
        // What is in memory would be read from there.
        run("umount", &[&text(&disk.mount)])?;
        run("mount", &[&disk.device, &text(&disk.mount)])?;
        Some(disk)
    }

    /// Keeps so many bytes; what lies behind cannot be read.
    fn keep(&self, bytes: u64) {
        let file = File::options().write(true).open(&self.blocks).expect("the file of its blocks");
        file.set_len(bytes).expect("another length");
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).status();
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
#[ignore = "slow: make soak"]
fn a_disk_that_fails_stops_its_machine_or_is_told_to_the_guest() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a disk that fails");
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let Some(fragile) = Fragile::make(folder.path()) else {
        eprintln!("skipped: no loop device with a file system can be made here");
        return;
    };
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("ours");
    let installation = Installation::start(Options::default());
    allow_host_disks(&installation);
    let disks = "          disks:
            - {name: stops, disk: {bus: virtio}}
            - {name: reports, errorPolicy: report, disk: {bus: virtio}}
";
    let volume = |name: &str| {
        let path = fragile.mount.join(format!("{name}.img"));
        format!("        - {{name: {name}, hostDisk: {{path: '{}', type: Disk}}}}\n", path.display())
    };
    let volumes = format!("      volumes:\n{}{}", volume("stops"), volume("reports"));
    // A megabyte each second of the one disk, until the guest hears of an error; then of the other.
    let reads = "(i=0; while dd if=/dev/vdb bs=64k skip=$((i * 16)) count=1 of=/dev/null; do echo read $i > /dev/console; \
                 i=$(((i + 1) % 40)); sleep 1; done; echo heard > /dev/console; \
                 dd if=/dev/vda bs=64k skip=400 count=1 of=/dev/null && echo went on > /dev/console) 2> /dev/null &";
    let manifest = example("hello.yaml")
        .replace("          disks:\n", disks)
        .replace("      volumes:\n", &volumes)
        .replace(r#"echo "GREETING" > /dev/console"#, reads);
    installation.apply(&manifest);
    let console = || installation.console("default", "hello");
    until("the guest reads", PATIENCE, || console().contains("read 0"));

    fragile.keep(LEFT);
    until("the guest hears of the disk that reports", PATIENCE, || console().contains("heard"));
    let paused = || {
        let instance = installation.get("vmi", "default", "hello")?;
        let conditions = instance["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|condition| condition["type"] == "Paused")
    };
    let told = until_some("the other has the machine wait", PATIENCE, paused);
    assert_eq!(told["reason"], "PausedIOError", "{told}");
    let sentence = told["message"].as_str().unwrap_or_default();
    assert!(sentence.contains("stops") && !sentence.contains("reports"), "{sentence}");
    until("an event says so", PATIENCE, || !installation.events("hello", "IOerror").is_empty());
    assert_eq!(installation.events("hello", "IOerror").len(), 1);

    fragile.keep(SIZE);
    until("the guest goes on by itself", PATIENCE, || console().contains("went on"));
    until("and nothing is said any more", PATIENCE, || paused().is_none());
    installation.kubectl(&["delete", "vm", "hello", "--timeout", "60s"]).expect("deleting the machine");
}
