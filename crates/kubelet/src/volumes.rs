//! Volumes as directories of the host, laid out as the Kubernetes kubelet lays them out.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::plan::{FileContent, PodPlan, Volume, VolumeSource};

/// Returns where a volume of the Pod in `directory` lies.
pub(crate) fn path(directory: &Path, volume: &Volume) -> PathBuf {
    directory.join("volumes").join(volume.source.plugin()).join(&volume.name)
}

/// Makes the volumes that need no image. `owned` gives them to the Pod's user, which only root can.
pub(crate) fn make(directory: &Path, plan: &PodPlan, owned: bool) -> io::Result<()> {
    for volume in &plan.volumes {
        let path = path(directory, volume);
        match &volume.source {
            VolumeSource::Image { .. } => {}
            VolumeSource::Empty => {
                std::fs::create_dir_all(&path)?;
                give(&path, plan, owned, 0o2770)?;
            }
            VolumeSource::Claim { path: directory, make } => {
                if *make {
                    std::fs::create_dir_all(directory)?;
                    give(directory, plan, owned, 0o2770)?;
                }
                link(&path, directory)?;
            }
            VolumeSource::Files { files, .. } => {
                std::fs::create_dir_all(&path)?;
                for file in files {
                    write(&path, file, plan, owned)?;
                }
                give(&path, plan, owned, 0o2750)?;
            }
        }
    }
    Ok(())
}

/// Shows an unpacked image as the volume's directory.
pub(crate) fn link_image(directory: &Path, volume: &Volume, unpacked: &Path) -> io::Result<()> {
    link(&path(directory, volume), unpacked)
}

/// Has `path` lead to `target`.
fn link(path: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::os::unix::fs::symlink(target, path),
    }
}

fn write(volume: &Path, file: &FileContent, plan: &PodPlan, owned: bool) -> io::Result<()> {
    let path = volume.join(&file.path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, &file.content)?;
    // The Pod reads them through its group.
    give(&path, plan, owned, file.mode | ((file.mode & 0o400) >> 3))
}

fn give(path: &Path, plan: &PodPlan, owned: bool, mode: u32) -> io::Result<()> {
    if owned {
        std::os::unix::fs::chown(path, Some(plan.user), Some(plan.volume_group))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    } else {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o777))
    }
}
