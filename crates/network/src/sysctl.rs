//! Kernel settings of the calling thread's network namespace.

use crate::Error;

/// Reads a setting by its path below `/proc/sys/net`.
pub(crate) fn read(name: &str) -> Result<String, Error> {
    let path = format!("/proc/sys/net/{name}");
    let text = std::fs::read_to_string(&path).map_err(Error::system(format!("read {path}")))?;
    Ok(text.trim().to_owned())
}

/// Writes a setting unless it has the value already.
pub(crate) fn write(name: &str, value: &str) -> Result<(), Error> {
    if read(name).is_ok_and(|current| current == value) {
        return Ok(());
    }
    let path = format!("/proc/sys/net/{name}");
    std::fs::write(&path, value).map_err(Error::system(format!("write {value} to {path}")))
}
