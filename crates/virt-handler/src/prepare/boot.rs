//! A kernel from a container image.

use std::path::Path;

use api::kubevirt::v1::VirtualMachineInstance;
use launcher_channel::Descriptors;

use super::Error;
use super::images::ImageVolume;

/// Volume of the Pod that holds the image with the kernel.
const VOLUME: &str = "kernel-boot";

/// Opens kernel and initial RAM disk, if the instance names them.
pub(super) fn descriptors(instance: &VirtualMachineInstance, pod: &Path) -> Result<Descriptors, Error> {
    let firmware = instance.spec.domain.firmware.as_ref();
    let Some(container) = firmware.and_then(|firmware| firmware.kernel_boot.as_ref()?.container.as_ref())
    else {
        return Ok(Descriptors::new());
    };
    let failed = |field: &'static str, value: &str| {
        let value = value.to_owned();
        move |source: std::io::Error| Error::Boot {
            field,
            value,
            problem: format!("cannot be opened in the image: {source}"),
        }
    };
    let image_field = "spec.domain.firmware.kernelBoot.container.image";
    let image = ImageVolume::open(pod, VOLUME).map_err(failed(image_field, &container.image))?;
    let mut descriptors = Descriptors::new();
    let files = [
        ("boot/kernel", "spec.domain.firmware.kernelBoot.container.kernelPath", &container.kernel_path),
        ("boot/initrd", "spec.domain.firmware.kernelBoot.container.initrdPath", &container.initrd_path),
    ];
    for (name, field, path) in files {
        if let Some(path) = path.as_deref().filter(|path| !path.is_empty()) {
            descriptors.push((name.to_owned(), image.file(path).map_err(failed(field, path))?.into()));
        }
    }
    Ok(descriptors)
}
