//! The Pod's root: a small read-only file system made of bind mounts.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};
use nix::sys::stat::{Mode, SFlag};

use super::child::{Failure, failed};
use super::{Entry, JailSpec};

/// Devices that every Pod has.
const HARMLESS: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

const READ_ONLY: u64 = 0x1;
const NO_SETUID: u64 = 0x2;
const NO_DEVICES: u64 = 0x4;

/// Builds the root of `spec` and makes it the calling process's; returns notes on what it does without.
pub(super) fn build(spec: &JailSpec) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    let root = spec.root.as_path();
    // Nothing of the Pod may show up on the host.
    mount(None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    let private = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), root, Some("tmpfs"), private, Some("mode=0755,size=4m"))?;
    for entry in &spec.entries {
        place(root, entry)?;
    }
    devices(root, spec)?;
    temporary(root)?;
    notes.extend(kernel_views(root)?);
    pivot(root)?;
    set_attributes(Path::new("/"), READ_ONLY, false)?;
    Ok(notes)
}

fn place(root: &Path, entry: &Entry) -> Result<(), Failure> {
    match entry {
        Entry::Directory { target } => directory(root, target).map(drop),
        Entry::Link { target, to } => {
            let path = slot(root, target)?;
            std::os::unix::fs::symlink(to, &path)
                .map_err(failed(format_args!("cannot make the link {}", target.display())))
        }
        Entry::File { target, content } => {
            let path = slot(root, target)?;
            std::fs::write(&path, content)
                .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)))
                .map_err(failed(format_args!("cannot write {}", target.display())))
        }
        Entry::Bind { source, target, read_only, optional } => {
            let Ok(metadata) = std::fs::metadata(source) else {
                if *optional {
                    return Ok(());
                }
                return Err(format!("cannot mount {}: the host has no such file", source.display()));
            };
            let path = if metadata.is_dir() { directory(root, target)? } else { file(root, target)? };
            mount(source.to_str(), &path, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
            let attributes = NO_SETUID | NO_DEVICES | if *read_only { READ_ONLY } else { 0 };
            set_attributes(&path, attributes, true)
        }
    }
}

/// Makes `/dev`.
fn devices(root: &Path, spec: &JailSpec) -> Result<(), Failure> {
    let dev = directory(root, Path::new("/dev"))?;
    mount(
        Some("tmpfs"),
        &dev,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("mode=0755,size=64k"),
    )?;
    let extra = spec.devices.iter().map(|device| device.path.as_path());
    for device in HARMLESS.iter().map(Path::new).chain(extra) {
        device_node(root, device, spec.user_namespace.is_none())?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(to, dev.join(name)).map_err(failed("cannot make links in /dev"))?;
    }
    let shared = directory(root, Path::new("/dev/shm"))?;
    mount(
        Some("tmpfs"),
        &shared,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=1777"),
    )
}

/// Makes a node of the Pod's own, open to its user, or where that is not allowed shows the host's.
fn device_node(root: &Path, device: &Path, may_make: bool) -> Result<(), Failure> {
    let metadata = std::fs::metadata(device)
        .map_err(failed(format_args!("the Pod asks for {}, which cannot be used", device.display())))?;
    if may_make {
        let path = slot(root, device)?;
        let number = std::os::unix::fs::MetadataExt::rdev(&metadata);
        if nix::sys::stat::mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), number).is_ok() {
            return std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))
                .map_err(failed(format_args!("cannot open {} to the Pod", device.display())));
        }
    }
    let path = file(root, device)?;
    mount(device.to_str(), &path, None, MsFlags::MS_BIND, None)
}

/// Makes `/tmp`.
fn temporary(root: &Path) -> Result<(), Failure> {
    let path = directory(root, Path::new("/tmp"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some("mode=1777,size=64m"))
}

/// Makes `/proc` and `/sys`.
fn kernel_views(root: &Path) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let proc = directory(root, Path::new("/proc"))?;
    if let Err(error) = mount(Some("proc"), &proc, Some("proc"), flags, None) {
        // Inside a container whose own /proc is masked, the kernel allows no fresh one. The host's view works
        // for programs, and what it shows of other processes stays protected by their owners.
        mount(Some("/proc"), &proc, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
        notes.push(format!("the Pod sees the processes of the host ({error})"));
    }
    let sys = directory(root, Path::new("/sys"))?;
    if mount(Some("sysfs"), &sys, Some("sysfs"), flags | MsFlags::MS_RDONLY, None).is_err() {
        notes.push("the Pod has no /sys: the machine allows no fresh one".to_owned());
    }
    Ok(notes)
}

/// Makes `root` the process's root and lets go of the host's.
fn pivot(root: &Path) -> Result<(), Failure> {
    let what = "cannot enter the Pod's root";
    nix::unistd::chdir(root).map_err(failed(what))?;
    // Stacks the old root on the new one, from where it is taken off again: no directory is needed for it.
    nix::unistd::pivot_root(".", ".").map_err(failed(what))?;
    nix::mount::umount2(".", MntFlags::MNT_DETACH).map_err(failed("cannot let go of the host's root"))?;
    nix::unistd::chdir("/").map_err(failed(what))
}

/// Makes the directory `target` below `root`, with its parents.
fn directory(root: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let path = below(root, target)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&path)
        .map_err(failed(format_args!("cannot make the directory {} in the Pod", target.display())))?;
    Ok(path)
}

/// Makes the parents of `target` and returns where it goes.
fn slot(root: &Path, target: &Path) -> Result<PathBuf, Failure> {
    if let Some(parent) = target.parent() {
        directory(root, parent)?;
    }
    below(root, target)
}

/// Makes an empty file to mount on.
fn file(root: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let path = slot(root, target)?;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(failed(format_args!("cannot make the file {} in the Pod", target.display())))?;
    Ok(path)
}

/// Returns where `target` lies below `root`; refuses a path that leads elsewhere.
///
/// Links in a volume that an earlier container wrote must not lead out of the root that is being built.
fn below(root: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let mut path = root.to_owned();
    for component in target.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                path.push(name);
                if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
                    return Err(format!("cannot mount on {}: it passes through a link", target.display()));
                }
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("cannot mount on {}: the path must not contain ..", target.display()));
            }
        }
    }
    Ok(path)
}

fn mount(
    source: Option<&str>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) -> Result<(), Failure> {
    nix::mount::mount(source, target, kind, flags, data).map_err(failed(format_args!(
        "cannot mount {} on {}",
        source.unwrap_or("the host's root"),
        target.display()
    )))
}

/// Adds attributes to a mount, or to a whole tree of mounts, without touching what is set already.
#[allow(unsafe_code, reason = "no crate wraps mount_setattr")]
fn set_attributes(path: &Path, attributes: u64, recursive: bool) -> Result<(), Failure> {
    /// `struct mount_attr` of `linux/mount.h`.
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let what = format!("cannot restrict the mount {}", path.display());
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(failed(&what))?;
    let attributes = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with a zero byte, and the structure is passed with its size; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(failed(what)(std::io::Error::last_os_error())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_below_the_root() {
        let root = std::env::temp_dir();
        assert_eq!(below(&root, Path::new("/a/./b")), Ok(root.join("a/b")));
        assert!(below(&root, Path::new("/a/../../b")).is_err());
    }
}
