//! The files of a run directory.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(crate) use wire::launcher::SESSION;

/// Record of the machine, as it was given; written before the hypervisor is executed.
pub(crate) const RECORD: &str = "machine.json";
/// The hypervisor's process, while it runs.
pub(crate) const HYPERVISOR: &str = "hypervisor.json";
/// How the hypervisor's process ended.
pub(crate) const EXIT: &str = "hypervisor-exit.json";
/// Exit code of the shim itself, which is the Pod's.
pub(crate) const EXIT_CODE: &str = "exit-code";
/// What the hypervisor wrote to its standard output and error.
pub(crate) const HYPERVISOR_LOG: &str = "hypervisor.log";
/// Output of the first serial port.
pub(crate) const SERIAL_LOG: &str = "serial0.log";
/// Console of the first serial port, in the socket directory.
pub(crate) const SERIAL_SOCKET: &str = "serial0-sock";

/// Writes a file so that readers see the old content or the new, never a part. Only its owner may read it.
pub(crate) fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    std::fs::rename(&draft, path)
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
