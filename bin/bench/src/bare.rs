//! The peer: the leanest QEMU command for the same guest, by hand.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A guest under bare QEMU; killed when dropped.
#[derive(Debug)]
pub(crate) struct Bare(Child);

impl Bare {
    /// Starts the guest with its serial console in `log`.
    pub(crate) fn start(log: &Path, memory_mib: u32) -> Result<Self> {
        let child = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-M", "q35", "-accel", "tcg", "-m", &memory_mib.to_string()])
            .arg("-kernel")
            .arg(kit::guest("vmlinuz"))
            .arg("-initrd")
            .arg(kit::guest("initrd.gz"))
            .args(["-append", crate::machine::KERNEL_ARGUMENTS])
            .args([
                "-chardev",
                &format!("file,id=serial0,path={}", log.display()),
                "-serial",
                "chardev:serial0",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting bare QEMU")?;
        Ok(Self(child))
    }

    /// Returns its process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
