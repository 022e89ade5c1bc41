//! The peer: the leanest QEMU command for the same guest, by hand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A guest under bare QEMU; killed when dropped.
#[derive(Debug)]
pub(crate) struct Bare(Child);

impl Bare {
    /// Starts the guest with its serial console in `log`.
    pub(crate) fn start(log: &Path, memory_mib: u32) -> Result<Self> {
        Self::start_with(log, memory_mib, &[])
    }

    /// Starts the guest with QMP on the socket `control`, which nothing of an earlier guest may be in the way of.
    pub(crate) fn start_controlled(log: &Path, control: &Path, memory_mib: u32) -> Result<Self> {
        for left in [log, control] {
            // The first guest has none before it.
            drop(std::fs::remove_file(left));
        }
        let socket = format!("unix:{},server=on,wait=off", control.display());
        Self::start_with(log, memory_mib, &["-qmp", &socket])
    }

    /// Sends one QMP command and returns the seconds until the process has ended.
    pub(crate) fn end(mut self, control: &Path, command: &str) -> Result<f64> {
        let begun = crate::process::now();
        let mut stream = UnixStream::connect(control).context("connecting to bare QEMU")?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        lines.next().context("bare QEMU greets")??;
        for command in ["qmp_capabilities", command] {
            stream.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes())?;
            lines.next().context("bare QEMU answers")??;
        }
        self.0.wait().context("waiting for bare QEMU")?;
        Ok(crate::process::now() - begun)
    }

    fn start_with(log: &Path, memory_mib: u32, more: &[&str]) -> Result<Self> {
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
            .args(more)
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
