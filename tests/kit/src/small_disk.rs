//! A file system of a few megabytes, to fill up.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, mounted on a folder until it is dropped. Needs root.
#[derive(Debug)]
pub struct SmallDisk {
    mount: PathBuf,
}

impl SmallDisk {
    /// Makes `folder` a file system of `mebibytes`.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount(folder: &Path, mebibytes: u64) -> Self {
        std::fs::create_dir_all(folder).expect("making the folder to mount on");
        let disk = Self { mount: folder.to_owned() };
        disk.call("mount", &["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=755"), "ironclad-test"]);
        disk
    }

    /// Returns where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Makes it larger or smaller.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn resize(&self, mebibytes: u64) {
        self.call("mount", &["-o", &format!("remount,size={mebibytes}m")]);
    }

    /// Fills it until `left` mebibytes are free; [`Self::clear`] makes room again.
    ///
    /// # Panics
    /// When it cannot be filled.
    pub fn fill(&self, left: u64) {
        // Whoever else writes there takes some of what was free a moment ago.
        for _ in 0..100 {
            let ballast = File::create(self.ballast()).expect("making the ballast");
            let facts = rustix::fs::statvfs(&self.mount).expect("asking for the room left");
            let length = (facts.f_bavail * facts.f_frsize).saturating_sub(left << 20);
            match rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, length) {
                Err(rustix::io::Errno::NOSPC) => {}
                other => return other.expect("filling the file system"),
            }
        }
        panic!("{} cannot be filled", self.mount.display());
    }

    /// Takes away what [`Self::fill`] put there.
    ///
    /// # Panics
    /// When nothing is there.
    pub fn clear(&self) {
        std::fs::remove_file(self.ballast()).expect("removing the ballast");
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }

    fn call(&self, program: &str, words: &[&str]) {
        let status = Command::new(program).args(words).arg(&self.mount).status().expect("running mount");
        assert!(status.success(), "{program} {words:?} {}", self.mount.display());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What still runs keeps it until it ends.
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).status();
    }
}
