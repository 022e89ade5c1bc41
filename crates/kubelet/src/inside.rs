//! Files that a Pod's own processes can replace, read by an agent that may do more than they.
//!
//! Whoever works in the Pod can put a link to a file of the host there, a pipe that nobody writes to, or a device. So a path
//! is opened below the Pod's directory without following any link, and only a regular file is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

/// Opens the regular file `path`, which is in the Pod's directory `pod`.
pub(crate) fn open(pod: &Path, path: &Path) -> io::Result<File> {
    let outside = || io::Error::new(io::ErrorKind::InvalidInput, "it is not in the Pod's directory");
    let relative = path.strip_prefix(pod).map_err(|_| outside())?;
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, pod, directory, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // Reading a file does not depend on O_NONBLOCK; opening a pipe does.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat2(&root, relative, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// Reads the first `limit` bytes of the text in such a file.
pub(crate) fn read(pod: &Path, path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    open(pod, path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::FileType;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_the_pods_own_files_are_read() {
        let folder = tempfile::tempdir().expect("a directory");
        let pod = folder.path().join("pod");
        let volume = pod.join("volumes/private");
        std::fs::create_dir_all(&volume).expect("a volume");
        std::fs::write(folder.path().join("secret"), "secret").expect("a file of the host");
        std::fs::write(volume.join("exit-code"), "137 and more").expect("a file of the Pod");
        symlink(folder.path().join("secret"), volume.join("link")).expect("a link");
        symlink("../../../secret", volume.join("relative")).expect("a link");
        symlink(folder.path(), volume.join("directory")).expect("a link");
        symlink("/dev/zero", volume.join("device")).expect("a link");
        let root = File::open(&volume).expect("the volume");
        rustix::fs::mknodat(&root, "pipe", FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");

        assert_eq!(read(&pod, &volume.join("exit-code"), 3).expect("it is read"), "137");
        for name in ["link", "relative", "directory/secret", "device", "pipe", "none", "../../../secret"] {
            assert!(open(&pod, &volume.join(name)).is_err(), "{name} was opened");
        }
        assert!(open(&pod, &folder.path().join("secret")).is_err(), "a file elsewhere was opened");
    }
}
