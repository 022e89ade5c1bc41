//! Room on the file systems that hold machines' disks.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use plan::handler::Room;

/// Bytes that must be free before a machine starts, or goes on after a disk was full: with less it would stop again
/// at once.
pub(crate) const NEEDED: u64 = 16 << 20;

/// Returns the room on the file system that holds `path`, or what of it exists.
pub(crate) fn at(path: &Path, needed: u64) -> io::Result<Room> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let facts = rustix::fs::statvfs(existing)?;
    let mount = mount_point(existing)?.display().to_string();
    Ok(Room { mount, free: facts.f_bavail.saturating_mul(facts.f_frsize), needed })
}

/// Returns the room of every file system that the disks in a Pod's volumes are written to, `disks` being the names of
/// their volumes.
pub(crate) fn of_disks<'a>(pod: &Path, disks: impl Iterator<Item = &'a str>) -> Vec<Room> {
    let volumes = pod.join("volumes");
    let mut places: Vec<PathBuf> = vec![volumes.join("kubernetes.io~empty-dir/ephemeral-disks")];
    let kinds: Vec<_> = std::fs::read_dir(&volumes).into_iter().flatten().flatten().collect();
    // What comes from an image is only read.
    let written = |kind: &&std::fs::DirEntry| kind.file_name() != "kubernetes.io~image";
    for disk in disks {
        places.extend(
            kinds.iter().filter(written).map(|kind| kind.path().join(disk)).filter(|path| path.exists()),
        );
    }
    let mut rooms: Vec<Room> = Vec::new();
    for room in places.iter().filter_map(|place| at(place, NEEDED).ok()) {
        if !rooms.iter().any(|known| known.mount == room.mount) {
            rooms.push(room);
        }
    }
    rooms
}

/// Returns where the file system of `path` is mounted: the highest folder above it on the same device.
fn mount_point(path: &Path) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    let device = path.metadata()?.dev();
    let same = |above: &&Path| above.metadata().is_ok_and(|data| data.dev() == device);
    Ok(path.ancestors().take_while(same).last().unwrap_or(&path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_named_by_its_mount_point() {
        let room = at(Path::new("/proc/self/status"), 1).unwrap();
        assert_eq!(room.mount, "/proc");
        let folder = tempfile::tempdir().unwrap();
        let room = at(&folder.path().join("not/there/yet"), 1).unwrap();
        assert!(folder.path().starts_with(&room.mount) && room.free > 0, "{room:?}");
    }
}
