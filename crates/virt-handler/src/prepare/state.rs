//! What of a machine outlives its instance beside its disks: UEFI variables and what its TPM keeps, in the machine's claim.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use api::kubevirt::v1::VirtualMachineInstance;
use disk::hosted;
use launcher_channel::Descriptors;
use model::{persistence, record};

use super::Error;
use super::hosted::owner;
use crate::FirmwareVariables;

/// Opens what the instance keeps, and makes it at the first start.
pub(super) fn descriptors(
    instance: &VirtualMachineInstance,
    pod: &Path,
    templates: &FirmwareVariables,
) -> Result<Descriptors, Error> {
    let domain = &instance.spec.domain;
    let mut descriptors = Descriptors::new();
    if !persistence::is_needed(instance) {
        return Ok(descriptors);
    }
    let path = pod.join("volumes/kubernetes.io~local-volume").join(persistence::VOLUME);
    let directory = File::open(&path).map_err(|error| unusable(hosted::Error::Directory(error)))?;
    if persistence::keeps_tpm(domain) {
        // Its emulator knows an empty file for a TPM that is new.
        let file = kept(&directory, persistence::TPM, || Ok(Vec::new()))?;
        descriptors.push((record::TPM.to_owned(), file.into()));
    }
    if persistence::keeps_variables(domain) {
        let efi = domain.firmware.as_ref().and_then(|firmware| firmware.bootloader.as_ref()?.efi.as_ref());
        let secure = efi.is_some_and(|efi| efi.secure_boot != Some(false));
        let template = if secure { &templates.secure } else { &templates.plain };
        let file = kept(&directory, persistence::VARIABLES, || {
            std::fs::read(template).map_err(|_| Error::Firmware { template: template.to_owned() })
        })?;
        descriptors.push((record::VARIABLES.to_owned(), file.into()));
    }
    Ok(descriptors)
}

/// Opens the file `name` for this machine alone; one that is not there is made with what `first` returns.
fn kept(directory: &File, name: &str, first: impl FnOnce() -> Result<Vec<u8>, Error>) -> Result<File, Error> {
    let file = match hosted::open(directory, Path::new(name), true) {
        Err(error) if error.is_absent() => {
            let content = first()?;
            let fill = |mut file: &File| {
                file.write_all(&content).and_then(|()| file.sync_all()).and_then(|()| file.rewind())
            };
            hosted::create_filled(directory, OsStr::new(name), owner(), fill).map_err(unusable)?
        }
        other => other.map_err(unusable)?,
    };
    hosted::claim(&file, true).map_err(unusable)?;
    Ok(file)
}

fn unusable(error: hosted::Error) -> Error {
    let problem = format!("what the machine keeps: {error}");
    match error {
        hosted::Error::Busy => {
            Error::Busy { volume: persistence::VOLUME.to_owned(), problem, by: Vec::new() }
        }
        _ => Error::Volume { volume: persistence::VOLUME.to_owned(), problem },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_kept_for_one_machine() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        let open = |content: &str| kept(&directory, "kept", || Ok(content.as_bytes().to_vec()));
        let first = open("fresh").unwrap();
        assert!(matches!(open("fresh"), Err(Error::Busy { .. })), "another machine has it");
        (&first).write_all(b"tuned").unwrap();
        drop(first);
        assert_eq!(std::io::read_to_string(open("again").unwrap()).unwrap(), "tuned");
    }
}
