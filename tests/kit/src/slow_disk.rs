//! A disk that takes its time.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the kernel is told how many writes a device may do, for processes that are in no group of their own
/// (cgroup v1, blkio controller).
const LIMITS: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device";

/// A file system on a loop device, mounted on a folder until it is dropped. Needs root.
#[derive(Debug)]
pub struct SlowDisk {
    mount: PathBuf,
    device: String,
    number: String,
}

impl SlowDisk {
    /// Says whether this machine can slow a disk down.
    pub fn is_possible() -> bool {
        rustix::process::geteuid().is_root() && Path::new(LIMITS).exists()
    }

    /// Makes `folder` a file system of `mebibytes`, whose blocks are in `file`; as fast as any at first.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount(folder: &Path, file: &Path, mebibytes: u64) -> Self {
        std::fs::create_dir_all(folder).expect("making the folder to mount on");
        let blocks = std::fs::File::create(file).expect("making the disk's file");
        blocks.set_len(mebibytes << 20).expect("making it as large as the disk");
        let device = call("losetup", &["--show", "--find", &text(file)]);
        call("mkfs.ext4", &["-q", &device]);
        call("mount", &[&device, &text(folder)]);
        let number = call("stat", &["--format", "%Hr:%Lr", &device]);
        Self { mount: folder.to_owned(), device, number }
    }

    /// Lets it write so many times a second; 0 lifts the limit.
    ///
    /// # Panics
    /// When the kernel does not take it.
    pub fn limit(&self, writes: u32) {
        std::fs::write(LIMITS, format!("{} {writes}", self.number)).expect("limiting the device");
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.limit(0);
        // What still runs keeps them until it ends.
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).status();
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn call(program: &str, words: &[&str]) -> String {
    let output =
        Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
