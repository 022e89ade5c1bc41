//! Tap devices.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::Error;

/// Opens the tap device `name` in the calling thread's network namespace and makes it when it is missing.
///
/// It lives as long as a descriptor of it is open. `None` when another process holds it.
#[allow(unsafe_code, reason = "tap devices are made by an ioctl that no crate wraps")]
pub(crate) fn open(name: &str) -> Result<Option<OwnedFd>, Error> {
    /// `struct ifreq` with its flags member.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: libc::c_short,
        padding: [u8; 22],
    }
    const SET_INTERFACE: libc::c_ulong = 0x4004_54ca;
    let device = File::options().read(true).write(true).open("/dev/net/tun").map_err(Error::system(
        "open /dev/net/tun (load the module tun, and open the device to this user)",
    ))?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short,
        padding: [0; 22],
    };
    for (to, from) in request.name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the request is as long as the kernel's `struct ifreq`, ends its name with a zero byte, and lives
    // across the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), SET_INTERFACE as _, &raw mut request) };
    if result == 0 {
        return Ok(Some(device.into()));
    }
    let error = std::io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EBUSY) {
        return Ok(None);
    }
    Err(Error::system(format!("make the tap device {name}"))(error))
}
