//! Disks: for each volume that the guest sees as one, the chain of images that it consists of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use disk::{Format, SeedFile, probe};
use launcher_channel::Descriptors;
use model::amount;
use model::cloudinit::{SecretData, documents};
use model::record::VolumeFacts;
use rustix::fs::{CWD, Mode, OFlags};
use wire::machine::DiskFormat;

use super::Error;
use super::images::ImageVolume;

/// Label by which NoCloud finds its seed.
const NO_CLOUD_LABEL: &str = "cidata";

/// The machine's disks, ready.
#[derive(Debug, Default)]
pub(super) struct Disks {
    pub(super) facts: BTreeMap<String, VolumeFacts>,
    pub(super) descriptors: Descriptors,
    pub(super) sizes: BTreeMap<String, u64>,
}

/// One layer of a chain.
struct Layer {
    file: File,
    format: DiskFormat,
}

/// Opens or makes every disk of the machine.
pub(super) fn disks(
    instance: &VirtualMachineInstance,
    secrets: &BTreeMap<String, SecretData>,
    pod: &Path,
) -> Result<Disks, Error> {
    let mut disks = Disks::default();
    let wanted = &instance.spec.domain.devices.disks;
    for volume in
        instance.spec.volumes.iter().filter(|volume| wanted.iter().any(|disk| disk.name == volume.name))
    {
        let (chain, size) = chain(instance, volume, secrets, pod)?;
        let formats = chain.iter().map(|layer| layer.format).collect();
        disks.facts.insert(volume.name.clone(), VolumeFacts { chain: formats, direct_io: false });
        disks.sizes.insert(volume.name.clone(), size);
        for (depth, layer) in chain.into_iter().enumerate() {
            disks.descriptors.push((format!("disk/{}/{depth}", volume.name), layer.file.into()));
        }
    }
    Ok(disks)
}

/// Returns the images of a volume from the one that is written down to the base, and the size of the disk.
fn chain(
    instance: &VirtualMachineInstance,
    volume: &Volume,
    secrets: &BTreeMap<String, SecretData>,
    pod: &Path,
) -> Result<(Vec<Layer>, u64), Error> {
    if let Some(source) = &volume.container_disk {
        return container_disk(volume, &source.image, source.path.as_deref(), pod);
    }
    if let Some(source) = &volume.empty_disk {
        let size = amount::bytes(&source.capacity).filter(|size| *size > 0).ok_or_else(|| Error::Volume {
            volume: volume.name.clone(),
            problem: format!("emptyDisk.capacity {:?} is no size; write for example 2Gi", source.capacity.0),
        })?;
        let path = ephemeral(pod, volume, "img");
        let file = disk::empty(&path, size).map_err(|source| Error::create(volume, size, &source))?;
        return Ok((vec![Layer { file, format: DiskFormat::Raw }], size));
    }
    if let Some(seed) = documents(instance, volume, secrets)? {
        let mut files = vec![
            SeedFile { name: "user-data".to_owned(), content: seed.user_data },
            SeedFile { name: "meta-data".to_owned(), content: seed.meta_data },
        ];
        files.extend(
            seed.network_config.map(|content| SeedFile { name: "network-config".to_owned(), content }),
        );
        let image = disk::iso(NO_CLOUD_LABEL, &files)?;
        let file = nameless(pod, &image)?;
        return Ok((vec![Layer { file, format: DiskFormat::Raw }], image.len() as u64));
    }
    // Admission and virt-controller keep such instances away from nodes; one that came all the same is told so.
    Err(Error::Volume {
        volume: volume.name.clone(),
        problem: "this release cannot make a disk of this kind of volume".to_owned(),
    })
}

/// A layer of the machine's own over the disk in a container image, which all machines share.
fn container_disk(
    volume: &Volume,
    reference: &str,
    path: Option<&str>,
    pod: &Path,
) -> Result<(Vec<Layer>, u64), Error> {
    let path = path.filter(|path| !path.is_empty());
    let unusable = |source: std::io::Error| Error::Volume {
        volume: volume.name.clone(),
        problem: match path {
            Some(path) if source.kind() == std::io::ErrorKind::NotFound => {
                format!("containerDisk.path {path} is not in the image {reference}; correct the path")
            }
            Some(path) => {
                format!("containerDisk.path {path} of the image {reference} cannot be opened: {source}")
            }
            None => format!("containerDisk.image {reference}: {source}"),
        },
    };
    let image = ImageVolume::open(pod, &format!("container-disk-{}", volume.name)).map_err(unusable)?;
    let base = match path {
        Some(path) => image.file(path),
        None => image.disk(),
    }
    .map_err(unusable)?;
    let known = probe(&base).map_err(|source| Error::Image {
        volume: volume.name.clone(),
        image: reference.to_owned(),
        source,
    })?;
    let top = disk::overlay(&ephemeral(pod, volume, "qcow2"), known.virtual_size)
        .map_err(|source| Error::create(volume, known.virtual_size, &source))?;
    let format = match known.format {
        Format::Raw => DiskFormat::Raw,
        Format::Qcow2 => DiskFormat::Qcow2,
    };
    let chain = vec![Layer { file: top, format: DiskFormat::Qcow2 }, Layer { file: base, format }];
    Ok((chain, known.virtual_size))
}

fn ephemeral_directory(pod: &Path) -> PathBuf {
    pod.join("volumes/kubernetes.io~empty-dir/ephemeral-disks")
}

fn ephemeral(pod: &Path, volume: &Volume, extension: &str) -> PathBuf {
    ephemeral_directory(pod).join(format!("{}.{extension}", volume.name))
}

/// A file without a name, which nobody but its holders can open: seeds hold secrets.
fn nameless(pod: &Path, content: &[u8]) -> Result<File, Error> {
    let directory = ephemeral_directory(pod);
    let failed = |source: std::io::Error| Error::Open { path: directory.clone(), source };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, &directory, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| failed(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(content).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}
