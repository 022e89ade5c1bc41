//! Disks in claims and in directories of the host: they outlive the machine.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use api::kubevirt::v1::{HostDisk, Volume};
use disk::hosted::{self, ALIGNMENT};
use model::amount;
use model::claims::Claim;
use plan::Notice;
use wire::machine::DiskFormat;

use super::Error;
use super::layer::{Chain, Layer};
use crate::installation::SmallVolumes;

/// Name of the disk in a claim.
const DISK: &str = "disk.img";
/// User that hypervisors run as where there is a choice.
const USER: u32 = 107;

/// Who else uses a disk while a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nobody: the machine writes to it.
    Alone,
    /// Others that only read, as the machine does.
    Read,
    /// Others that write, as the machine does, and know of each other.
    Shared,
}

impl Access {
    pub(super) fn of(read_only: bool, shareable: bool) -> Self {
        match (read_only, shareable) {
            (true, _) => Self::Read,
            (false, true) => Self::Shared,
            (false, false) => Self::Alone,
        }
    }
}

/// Opens the disk in a claim, and makes it at the first use.
pub(super) fn claim(
    volume: &Volume,
    name: &str,
    access: Access,
    claim: &Claim,
    pod: &Path,
    rules: SmallVolumes,
) -> Result<Chain, Error> {
    let refused = |error| claim_error(volume, name, error);
    let read_only = access == Access::Read;
    let directory = open_claim(volume, name, pod)?;
    let mut notice = None;
    let mut is_new = false;
    let file = match hosted::open(&directory, Path::new(DISK), !read_only) {
        Err(error) if error.is_absent() && read_only => {
            return Err(nothing_to_read(volume, name));
        }
        Err(error) if error.is_absent() => {
            let wanted = claim.disk_size();
            if wanted == 0 {
                let problem = format!("claim {name} is smaller than 1Mi, the smallest disk; make it larger");
                return Err(Error::Volume { volume: volume.name.clone(), problem });
            }
            let free = hosted::space(&directory).map_err(refused)?;
            let size = fitting(wanted, free, rules).ok_or_else(|| no_room(volume, wanted, free, rules))?;
            if size < wanted {
                let message = format!(
                    "volume {}: PV size too small: expected {wanted} B, found {size} B. Using it anyway, it is within \
                     {} % toleration",
                    volume.name, rules.tolerance_percent
                );
                notice = Some(Notice::normal("ToleratedSmallPV", message));
            }
            is_new = true;
            hosted::create(&directory, OsStr::new(DISK), size, owner()).map_err(refused)?
        }
        other => other.map_err(refused)?,
    };
    hosted::claim(&file, access == Access::Alone).map_err(refused)?;
    if !is_new && access == Access::Alone {
        notice = grow(volume, name, &file, claim.disk_size(), &directory, rules)?;
    }
    finished(file, notice, refused)
}

/// Makes a disk as large as its claim, which may have grown. Nobody else uses it now.
fn grow(
    volume: &Volume,
    name: &str,
    file: &File,
    wanted: u64,
    directory: &File,
    rules: SmallVolumes,
) -> Result<Option<Notice>, Error> {
    let refused = |error| claim_error(volume, name, error);
    let size = size_of(file).map_err(refused)?;
    if size >= wanted {
        return Ok(None);
    }
    let free = hosted::space(directory).map_err(refused)?;
    if free.saturating_sub(rules.reserve_bytes) < wanted - size {
        let message = format!(
            "volume {}: claim {name} asks for {wanted} B and its disk has {size} B; it does not grow, because {free} B \
             are left on the node",
            volume.name
        );
        return Ok(Some(Notice::warning("VolumeResizeFailed", message)));
    }
    file.set_len(wanted).map_err(|error| refused(hosted::Error::Io("grow", error)))?;
    let message =
        format!("volume {}: the disk in claim {name} has grown from {size} B to {wanted} B", volume.name);
    Ok(Some(Notice::normal("FileSystemResizeSuccessful", message)))
}

/// Puts a layer of the machine's own over the disk in a claim, which is only read.
pub(super) fn ephemeral(
    volume: &Volume,
    name: &str,
    pod: &Path,
    layer: impl FnOnce(u64) -> Result<File, Error>,
) -> Result<Chain, Error> {
    let refused = |error| claim_error(volume, name, error);
    let directory = open_claim(volume, name, pod)?;
    let base = match hosted::open(&directory, Path::new(DISK), false) {
        Err(error) if error.is_absent() => return Err(nothing_to_read(volume, name)),
        other => other.map_err(refused)?,
    };
    // A machine that writes to it would change what is below this one's own layer.
    hosted::claim(&base, false).map_err(refused)?;
    let size = size_of(&base).map_err(refused)?;
    let top = layer(size)?;
    let layers =
        vec![Layer { file: top, format: DiskFormat::Qcow2 }, Layer { file: base, format: DiskFormat::Raw }];
    Ok(Chain::of(layers, size))
}

/// Opens a disk of the host by its path, and makes it where that is asked for. What is below the directory `own` is no
/// machine's: keys, objects, and other machines' disks.
pub(super) fn host_disk(
    volume: &Volume,
    source: &HostDisk,
    access: Access,
    rules: SmallVolumes,
    own: &Path,
) -> Result<Chain, Error> {
    let refused = |error: hosted::Error| unusable(volume, format!("hostDisk.path {}", source.path), &error);
    let path = Path::new(&source.path);
    let (Some(parent), Some(name)) = (path.parent().filter(|_| path.is_absolute()), path.file_name()) else {
        let problem = format!("hostDisk.path {:?} is no absolute path of a file", source.path);
        return Err(Error::Volume { volume: volume.name.clone(), problem });
    };
    // No link is followed on the way to it, so that the path is where it is.
    if path.starts_with(own) {
        let problem = format!(
            "hostDisk.path {} is in {}, which holds this installation's own data; put the disk elsewhere",
            source.path,
            own.display()
        );
        return Err(Error::Volume { volume: volume.name.clone(), problem });
    }
    let create = source.type_ == "DiskOrCreate";
    let directory = hosted::directory(parent, create).map_err(refused)?;
    let file = match hosted::open(&directory, Path::new(name), true) {
        Err(error) if error.is_absent() && create => {
            let wanted = source.capacity.as_ref().and_then(amount::bytes).filter(|size| *size > 0);
            let wanted = wanted.ok_or_else(|| Error::Volume {
                volume: volume.name.clone(),
                problem: format!(
                    "hostDisk.path {} does not exist, and hostDisk.capacity does not say how large to make it",
                    source.path
                ),
            })?;
            let free = hosted::space(&directory).map_err(refused)?;
            let size = fitting(wanted, free, rules).ok_or_else(|| no_room(volume, wanted, free, rules))?;
            hosted::create(&directory, name, size, owner()).map_err(refused)?
        }
        other => {
            let file = other.map_err(refused)?;
            // This agent may open what the machine may not.
            if let Some(user) = owner() {
                hosted::check_owner(&file, user).map_err(refused)?;
            }
            file
        }
    };
    hosted::claim(&file, access == Access::Alone).map_err(refused)?;
    finished(file, None, refused)
}

/// Whom a new disk is given to; without root it stays the agent's, who is the machine's user as well.
pub(super) fn owner() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(USER)
}

fn open_claim(volume: &Volume, name: &str, pod: &Path) -> Result<File, Error> {
    let path = pod.join("volumes/kubernetes.io~local-volume").join(&volume.name);
    File::open(&path).map_err(|error| claim_error(volume, name, hosted::Error::Directory(error)))
}

fn claim_error(volume: &Volume, name: &str, error: hosted::Error) -> Error {
    unusable(volume, format!("the disk in claim {name}"), &error)
}

fn unusable(volume: &Volume, what: String, error: &hosted::Error) -> Error {
    let problem = format!("{what}: {error}");
    if matches!(error, hosted::Error::Busy) {
        return Error::Busy { volume: volume.name.clone(), problem, by: Vec::new() };
    }
    Error::Volume { volume: volume.name.clone(), problem }
}

fn nothing_to_read(volume: &Volume, name: &str) -> Error {
    Error::Volume {
        volume: volume.name.clone(),
        problem: format!(
            "claim {name} holds no {DISK} yet; write one first, with a machine that owns the claim"
        ),
    }
}

/// Returns the size that a disk of `wanted` bytes can have where `free` are left: a little less is tolerated.
fn fitting(wanted: u64, free: u64, rules: SmallVolumes) -> Option<u64> {
    let free = free.saturating_sub(rules.reserve_bytes);
    if wanted <= free {
        return Some(wanted);
    }
    let least = u128::from(wanted) * u128::from(100 - rules.tolerance_percent.min(100)) / 100;
    (u128::from(free) >= least).then(|| free - free % ALIGNMENT).filter(|size| *size > 0)
}

fn no_room(volume: &Volume, wanted: u64, free: u64, rules: SmallVolumes) -> Error {
    Error::Create {
        volume: volume.name.clone(),
        problem: format!(
            "unable to create its disk, not enough space, demanded size {wanted} B is bigger than available space \
             {free} B, also after taking {} % toleration into account; free some, or ask for less",
            rules.tolerance_percent
        ),
    }
}

fn size_of(file: &File) -> Result<u64, hosted::Error> {
    file.metadata().map(|metadata| metadata.len()).map_err(|error| hosted::Error::Io("look at", error))
}

fn finished(
    file: File,
    notice: Option<Notice>,
    refused: impl Fn(hosted::Error) -> Error,
) -> Result<Chain, Error> {
    let size = size_of(&file).map_err(refused)?;
    let direct_io = hosted::supports_direct(&file);
    Ok(Chain { direct_io, notice, ..Chain::raw(file, size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_less_room_is_tolerated() {
        let rules = SmallVolumes { tolerance_percent: 10, reserve_bytes: 1 << 17 };
        const GIB: u64 = 1 << 30;
        assert_eq!(fitting(GIB, 2 * GIB, rules), Some(GIB));
        let less = fitting(GIB, GIB, rules).unwrap();
        assert!(less < GIB && less.is_multiple_of(ALIGNMENT), "{less}");
        assert_eq!(fitting(GIB, GIB / 10 * 8, rules), None);
        assert_eq!(fitting(GIB, 0, rules), None);
        assert_eq!(fitting(u64::MAX, GIB, rules), None);
    }
}
