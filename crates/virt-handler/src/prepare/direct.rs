//! Disks past the host's page cache: their files are opened that way, or the hypervisor would not take them.

use launcher_channel::Descriptors;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use wire::machine::{DiskCache, MachineRecord};

use super::Error;

/// Has every file of a disk whose record says so bypass the page cache.
pub(super) fn apply(record: &MachineRecord, descriptors: &Descriptors) -> Result<(), Error> {
    for disk in record.disks.iter().filter(|disk| disk.cache == DiskCache::None) {
        for layer in &disk.chain {
            let Some((_, file)) = descriptors.iter().find(|(name, _)| *name == layer.descriptor) else {
                continue;
            };
            fcntl_getfl(file).and_then(|flags| fcntl_setfl(file, flags | OFlags::DIRECT)).map_err(|error| {
                let problem = format!(
                    "its file system cannot bypass the page cache ({error}); write cache: writethrough, and leave out io: \
                     native"
                );
                Error::Volume { volume: disk.name.clone(), problem }
            })?;
        }
    }
    Ok(())
}
