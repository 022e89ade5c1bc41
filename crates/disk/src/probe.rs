//! What a disk image is, from its first bytes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// First four bytes of a qcow2 image (QEMU, docs/interop/qcow2.txt).
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

/// Largest disk, in bytes. A layer over a larger one would not be made.
const LARGEST: u64 = 64 << 40;

/// Format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain bytes, optical images included.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

/// What an image says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its format.
    pub format: Format,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the disk image")]
    Read(#[source] std::io::Error),
    /// The header is cut short or of an unknown version.
    #[error("the disk image has a broken qcow2 header: {0}; convert the image again with qemu-img")]
    Header(&'static str),
    /// The image names another file, which only the owner of the machine may do.
    #[error("the disk image refers to {0}; flatten it with `qemu-img convert` so that it stands alone")]
    Reference(&'static str),
    /// The image is encrypted.
    #[error("the disk image is encrypted; decrypt it with `qemu-img convert`, machines have no key for it")]
    Encrypted,
    /// The image says that the disk is larger than any disk is.
    #[error("the disk image claims a disk of {0} bytes; a disk has at most 64 TiB, make the image again")]
    Size(u64),
    /// The image holds nothing.
    #[error("the disk image is empty: a disk has at least one byte; make the image again")]
    Empty,
    /// A format that the hypervisor would not read.
    #[error("the disk image is in {0} format; convert it to qcow2 or raw with `qemu-img convert`")]
    Foreign(&'static str),
}

/// Reads the header of an image.
///
/// An image that refers to a backing or data file is refused: following such a name would let whoever wrote the
/// image choose a file of the host.
///
/// # Errors
/// When the file cannot be read, is in a format that guests cannot use, or refers to other files.
pub fn probe(file: &File) -> Result<Probe, Error> {
    let length = file.metadata().map_err(Error::Read)?.len();
    let mut header = [0u8; 104];
    let read = read_start(file, &mut header).map_err(Error::Read)?;
    if header[..4] == QCOW2_MAGIC {
        return qcow2(&header[..read], length);
    }
    if length == 0 {
        return Err(Error::Empty);
    }
    if let Some(name) = foreign(&header[..read]) {
        return Err(Error::Foreign(name));
    }
    Ok(Probe { format: Format::Raw, virtual_size: length })
}

fn qcow2(header: &[u8], length: u64) -> Result<Probe, Error> {
    if header.len() < 72 {
        return Err(Error::Header("it is cut short"));
    }
    let version = be32(header, 4);
    if !(2..=3).contains(&version) {
        return Err(Error::Header("its version is neither 2 nor 3"));
    }
    if be64(header, 8) != 0 {
        return Err(Error::Reference("a backing file"));
    }
    if be32(header, 32) != 0 {
        return Err(Error::Encrypted);
    }
    let virtual_size = be64(header, 24);
    if virtual_size == 0 {
        return Err(Error::Empty);
    }
    if virtual_size > LARGEST {
        return Err(Error::Size(virtual_size));
    }
    // Offset and length of the tables that lead to everything else.
    const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
    let cluster_bits = be32(header, 20);
    let tables = [
        (
            be64(header, 40),
            u64::from(be32(header, 36)) * 8,
            "its first table of clusters lies beyond its end",
        ),
        (
            be64(header, 48),
            u64::from(be32(header, 56)) << cluster_bits.min(*CLUSTER_BITS.end()),
            "its table of reference counts lies beyond its end",
        ),
    ];
    for (offset, size, problem) in tables {
        if size > 0 && offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(Error::Header(problem));
        }
    }
    if version == 3 {
        if header.len() < 104 {
            return Err(Error::Header("it is cut short"));
        }
        const EXTERNAL_DATA_FILE: u64 = 1 << 2;
        if be64(header, 72) & EXTERNAL_DATA_FILE != 0 {
            return Err(Error::Reference("an external data file"));
        }
    }
    Ok(Probe { format: Format::Qcow2, virtual_size })
}

/// Names the format of images that only a conversion makes usable.
fn foreign(header: &[u8]) -> Option<&'static str> {
    const MAGICS: &[(&[u8], &str)] = &[
        (b"KDMV", "VMDK"),
        (b"COWD", "VMDK"),
        // A text that names the files of the disk.
        (b"# Disk DescriptorFile", "VMDK"),
        (b"<<< ", "VDI"),
        (b"QED\0", "QED"),
        (b"vhdxfile", "VHDX"),
        (b"conectix", "VHD"),
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ];
    MAGICS.iter().find(|(magic, _)| header.starts_with(magic)).map(|(_, name)| *name)
}

/// Reads up to the whole of `buffer` from the start of `file` and returns how much there was.
fn read_start(file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The caller has checked that the header reaches that far.
fn be32(header: &[u8], at: usize) -> u32 {
    header[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn be64(header: &[u8], at: usize) -> u64 {
    u64::from(be32(header, at)) << 32 | u64::from(be32(header, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn image(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn header(change: impl Fn(&mut Vec<u8>)) -> File {
        let mut bytes = vec![0u8; 104];
        bytes[..4].copy_from_slice(&QCOW2_MAGIC);
        bytes[7] = 3;
        bytes[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
        change(&mut bytes);
        image(&bytes)
    }

    #[test]
    fn formats_are_told_by_content() {
        let qcow2 = probe(&header(|_| {})).unwrap();
        assert_eq!(qcow2, Probe { format: Format::Qcow2, virtual_size: 1 << 30 });
        let raw = probe(&image(&[7; 4096])).unwrap();
        assert_eq!(raw, Probe { format: Format::Raw, virtual_size: 4096 });
        assert!(matches!(probe(&image(b"KDMVxxxx")), Err(Error::Foreign("VMDK"))));
    }

    #[test]
    fn images_that_name_other_files_are_refused() {
        assert!(matches!(probe(&header(|bytes| bytes[15] = 104)), Err(Error::Reference("a backing file"))));
        let external = probe(&header(|bytes| bytes[79] = 4));
        assert!(matches!(external, Err(Error::Reference("an external data file"))));
        assert!(matches!(probe(&image(b"QFI\xfb\0\0\0\x03")), Err(Error::Header(_))));
    }

    #[test]
    fn what_no_machine_could_use_is_refused() {
        assert!(matches!(probe(&header(|bytes| bytes[35] = 2)), Err(Error::Encrypted)));
        assert!(matches!(probe(&header(|bytes| bytes[24] = 0x7f)), Err(Error::Size(_))));
        assert!(matches!(probe(&header(|bytes| bytes[24..32].fill(0))), Err(Error::Empty)));
        assert!(matches!(probe(&image(b"")), Err(Error::Empty)));
        let text = b"# Disk DescriptorFile\nversion=1\nRW 8 FLAT \"/etc/passwd\" 0\n";
        assert!(matches!(probe(&image(text)), Err(Error::Foreign("VMDK"))));
        assert!(matches!(
            probe(&image(b"<<< Oracle VM VirtualBox Disk Image >>>")),
            Err(Error::Foreign("VDI"))
        ));
    }

    #[test]
    fn tables_beyond_the_end_are_found() {
        for byte in [39, 59] {
            assert!(matches!(probe(&header(|bytes| bytes[byte] = 200)), Err(Error::Header(_))), "{byte}");
        }
    }

    proptest! {
        #[test]
        fn no_content_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), qcow2: bool) {
            let mut bytes = bytes;
            if qcow2 {
                bytes.splice(0..0, QCOW2_MAGIC);
            }
            drop(probe(&image(&bytes)));
        }
    }
}
