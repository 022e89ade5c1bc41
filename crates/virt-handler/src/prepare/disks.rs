//! Disks: for each volume that the guest sees as one, the chain of images that it consists of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use disk::{Format, SeedFile, probe};
use launcher_channel::Descriptors;
use model::record::VolumeFacts;
use model::{amount, claims, cloudinit, config_volumes};
use plan::Notice;
use rustix::fs::{CWD, Mode, OFlags};
use serde_json::Value;
use wire::machine::DiskFormat;

use super::images::ImageVolume;
use super::layer::{Chain, Layer};
use super::{Error, cloud_config, hosted};
use crate::gather::Gathered;
use crate::installation::SmallVolumes;

/// The machine's disks, ready.
#[derive(Debug, Default)]
pub(super) struct Disks {
    pub(super) facts: BTreeMap<String, VolumeFacts>,
    pub(super) descriptors: Descriptors,
    pub(super) sizes: BTreeMap<String, u64>,
    /// What the status shows of the claims that disks are in, by volume.
    pub(super) claims: BTreeMap<String, Value>,
    /// What people should know: one word and one sentence each.
    pub(super) notices: Vec<Notice>,
}

/// What disks are made from and by.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) gathered: &'a Gathered,
    /// Directory of the launcher's Pod.
    pub(super) pod: &'a Path,
    pub(super) small_volumes: SmallVolumes,
    /// Where the installation has its own data.
    pub(super) installation: &'a Path,
}

/// Opens or makes every disk of the machine.
pub(super) fn disks(instance: &VirtualMachineInstance, means: Means<'_>) -> Result<Disks, Error> {
    let mut disks = Disks::default();
    let wanted = &instance.spec.domain.devices.disks;
    for volume in
        instance.spec.volumes.iter().filter(|volume| wanted.iter().any(|disk| disk.name == volume.name))
    {
        let chain = chain(instance, volume, means)?;
        let formats = chain.layers.iter().map(|layer| layer.format).collect();
        let facts = VolumeFacts {
            chain: formats,
            direct_io: chain.direct_io,
            block_size: chain.layers.first().and_then(Layer::block_size),
        };
        disks.facts.insert(volume.name.clone(), facts);
        disks.sizes.insert(volume.name.clone(), chain.size);
        disks.notices.extend(chain.notice);
        let claim = claims::of_volume(volume).and_then(|(name, _)| means.gathered.claims.get(name));
        disks.claims.extend(claim.map(|claim| (volume.name.clone(), claim.shown.clone())));
        for (depth, layer) in chain.layers.into_iter().enumerate() {
            disks.descriptors.push((format!("disk/{}/{depth}", volume.name), layer.file.into()));
        }
    }
    Ok(disks)
}

/// Opens or makes the images of one volume.
fn chain(instance: &VirtualMachineInstance, volume: &Volume, means: Means<'_>) -> Result<Chain, Error> {
    let Means { gathered, pod, small_volumes, installation } = means;
    if let Some(source) = &volume.container_disk {
        return container_disk(volume, &source.image, source.path.as_deref(), pod);
    }
    if let Some((name, read_only)) = claims::of_volume(volume) {
        let claim = gathered.claims.get(name).ok_or_else(|| Error::Volume {
            volume: volume.name.clone(),
            problem: format!(
                "the PersistentVolumeClaim {name} does not exist; create it, or correct the name"
            ),
        })?;
        if volume.ephemeral.is_some() {
            return hosted::ephemeral(volume, name, pod, |size| overlay(volume, pod, size));
        }
        let access = hosted::Access::of(read_only, is_shared(instance, volume));
        return hosted::claim(volume, name, access, claim, pod, small_volumes);
    }
    if let Some(source) = &volume.host_disk {
        let access = hosted::Access::of(false, is_shared(instance, volume));
        return hosted::host_disk(volume, source, access, small_volumes, installation);
    }
    if let Some(source) = &volume.empty_disk {
        let size = amount::bytes(&source.capacity).filter(|size| *size > 0).ok_or_else(|| Error::Volume {
            volume: volume.name.clone(),
            problem: format!("emptyDisk.capacity {:?} is no size; write for example 2Gi", source.capacity.0),
        })?;
        let path = ephemeral(pod, volume, "img");
        let file = disk::empty(&path, size).map_err(|source| Error::create(volume, &path, size, &source))?;
        return Ok(Chain::raw(file, size));
    }
    if let Some(seed) = cloudinit::seed(instance, volume, &gathered.secrets)? {
        let notice = cloud_config::complaint(&volume.name, &seed.files);
        let files = seed.files.into_iter().map(|(name, content)| (name.to_owned(), content));
        return Ok(Chain { notice, ..optical(pod, seed.label, files)? });
    }
    if let Some(made) = config_volumes::disk(volume, &gathered.objects)? {
        return optical(pod, &made.label, made.files.into_iter());
    }
    // Admission and virt-controller keep such instances away from nodes; one that came all the same is told so.
    Err(Error::Volume {
        volume: volume.name.clone(),
        problem: "this release cannot make a disk of this kind of volume".to_owned(),
    })
}

/// Whether other machines may write to the disk of a volume at the same time.
fn is_shared(instance: &VirtualMachineInstance, volume: &Volume) -> bool {
    let mut disks = instance.spec.domain.devices.disks.iter();
    disks.any(|disk| disk.name == volume.name && disk.shareable == Some(true))
}

/// A small optical disk of files. It is made anew at each start, so that it shows what its sources hold then.
fn optical(pod: &Path, label: &str, files: impl Iterator<Item = (String, Vec<u8>)>) -> Result<Chain, Error> {
    let files: Vec<_> = files.map(|(name, content)| SeedFile { name, content }).collect();
    let image = disk::iso(label, &files)?;
    Ok(Chain::raw(nameless(pod, &image)?, image.len() as u64))
}

/// A layer of the machine's own over the disk in a container image, which all machines share.
fn container_disk(volume: &Volume, reference: &str, path: Option<&str>, pod: &Path) -> Result<Chain, Error> {
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
    let top = overlay(volume, pod, known.virtual_size)?;
    let format = match known.format {
        Format::Raw => DiskFormat::Raw,
        Format::Qcow2 => DiskFormat::Qcow2,
    };
    let layers = vec![Layer { file: top, format: DiskFormat::Qcow2 }, Layer { file: base, format }];
    Ok(Chain::of(layers, known.virtual_size))
}

/// The layer that a machine writes to, over a base that it only reads.
fn overlay(volume: &Volume, pod: &Path, size: u64) -> Result<File, Error> {
    let path = ephemeral(pod, volume, "qcow2");
    disk::overlay(&path, size).map_err(|source| Error::create(volume, &path, size, &source))
}

fn ephemeral_directory(pod: &Path) -> PathBuf {
    pod.join("volumes/kubernetes.io~empty-dir/ephemeral-disks")
}

fn ephemeral(pod: &Path, volume: &Volume, extension: &str) -> PathBuf {
    ephemeral_directory(pod).join(format!("{}.{extension}", volume.name))
}

/// A file without a name, which nobody but its holders can open: seeds hold secrets.
pub(super) fn nameless(pod: &Path, content: &[u8]) -> Result<File, Error> {
    let directory = ephemeral_directory(pod);
    let failed = |source: std::io::Error| Error::Open { path: directory.clone(), source };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, &directory, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| failed(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(content).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}
