//! Room on the file systems that hold machines' disks.

use std::io;
use std::path::{Path, PathBuf};

use plan::room::{NEEDED, Room};

/// Returns the room on the file system that holds `path`, or what of it exists.
pub(crate) fn at(path: &Path) -> io::Result<Room> {
    let space = host::space::measure(path)?;
    Ok(Room { mount: space.mount.display().to_string(), free: space.free, needed: NEEDED })
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
    for room in places.iter().filter_map(|place| at(place).ok()) {
        if !rooms.iter().any(|known| known.mount == room.mount) {
            rooms.push(room);
        }
    }
    rooms
}
