//! Seed volumes: small optical images that tell a guest who it is.

use std::io::Cursor;

use hadris_iso::joliet::JolietLevel;
use hadris_iso::read::PathSeparator;
use hadris_iso::rrip::RripOptions;
use hadris_iso::write::options::{BaseIsoLevel, CreationFeatures, IsoFormatOptions};
use hadris_iso::write::{File as IsoFile, InputFiles, IsoImageWriter};
use std::sync::Arc;

/// Room for the volume's own structures: descriptors, path tables and directories in two trees.
const OVERHEAD: usize = 512 * 1024;

/// Bytes of a sector of an optical image.
const SECTOR: usize = 2048;

/// One file of a seed.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedFile {
    /// Name, for example `user-data`.
    pub name: String,
    /// Content; may be a secret.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for SeedFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SeedFile({}, {} bytes)", self.name, self.content.len())
    }
}

/// Why a seed could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the seed volume {label}: {reason}")]
pub struct Error {
    label: String,
    reason: String,
}

/// Returns an ISO 9660 image with Joliet and Rock Ridge names, labelled `label`: `cidata` is what NoCloud looks for,
/// `config-2` is ConfigDrive's.
///
/// # Errors
/// When the writer refuses a name.
pub fn iso(label: &str, files: &[SeedFile]) -> Result<Vec<u8>, Error> {
    let sectors: usize = files.iter().map(|file| file.content.len().div_ceil(SECTOR)).sum();
    let input = InputFiles {
        path_separator: PathSeparator::ForwardSlash,
        files: files
            .iter()
            .map(|file| IsoFile::File { name: Arc::new(file.name.clone()), contents: file.content.clone() })
            .collect(),
    };
    let options = IsoFormatOptions {
        volume_name: label.to_owned(),
        system_id: None,
        volume_set_id: None,
        publisher_id: None,
        preparer_id: None,
        application_id: None,
        sector_size: SECTOR,
        path_separator: PathSeparator::ForwardSlash,
        strict_charset: false,
        features: CreationFeatures {
            filenames: BaseIsoLevel::Level1 { supports_lowercase: false, supports_rrip: true },
            long_filenames: false,
            joliet: Some(JolietLevel::Level3),
            rock_ridge: Some(RripOptions::default()),
            el_torito: None,
            hybrid_boot: None,
        },
    };
    let mut image = Cursor::new(vec![0u8; OVERHEAD + sectors * SECTOR]);
    IsoImageWriter::create(&mut image, input, options)
        .map_err(|error| Error { label: label.to_owned(), reason: error.to_string() })?;
    Ok(image.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn seed() -> Vec<SeedFile> {
        vec![
            SeedFile { name: "user-data".to_owned(), content: b"#cloud-config\nhostname: seed\n".to_vec() },
            SeedFile { name: "meta-data".to_owned(), content: b"instance-id: i-1\n".to_vec() },
            SeedFile { name: "network-config".to_owned(), content: vec![b'x'; 5000] },
        ]
    }

    #[test]
    fn another_reader_finds_label_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.iso");
        std::fs::write(&path, iso("cidata", &seed()).unwrap()).unwrap();
        let label =
            Command::new("blkid").args(["-s", "LABEL", "-o", "value"]).arg(&path).output().expect("blkid");
        assert_eq!(String::from_utf8_lossy(&label.stdout).trim(), "cidata");
        for extension in [["-R"], ["-J"]] {
            for file in seed() {
                let read = Command::new("isoinfo")
                    .args(extension)
                    .args(["-x", &format!("/{}", file.name), "-i"])
                    .arg(&path)
                    .output()
                    .expect("isoinfo (genisoimage) is installed by make deps");
                assert_eq!(read.stdout, file.content, "{} with {extension:?}", file.name);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_size_and_debug_shows_no_content() {
        let (a, b) = (iso("cidata", &seed()).unwrap(), iso("cidata", &seed()).unwrap());
        assert_eq!(a.len(), b.len());
        assert!(!format!("{:?}", seed()).contains("hostname"));
    }
}
