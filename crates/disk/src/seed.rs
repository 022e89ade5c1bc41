//! Small optical images that are made of files: seeds that tell a guest who it is, and objects shown to it.

use std::io::Cursor;

use hadris_iso::joliet::JolietLevel;
use hadris_iso::read::PathSeparator;
use hadris_iso::rrip::RripOptions;
use hadris_iso::write::options::{BaseIsoLevel, CreationFeatures, IsoFormatOptions};
use hadris_iso::write::{File as IsoFile, InputFiles, IsoImageWriter};
use std::sync::Arc;

/// Room for the volume's own structures: descriptors, path tables and directories in two trees.
const OVERHEAD: usize = 512 * 1024;

/// Characters of a label (ECMA-119, 8.4.8).
const LONGEST_LABEL: usize = 32;

/// Bytes of a sector of an optical image.
const SECTOR: usize = 2048;

/// One file of a seed.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedFile {
    /// Path, for example `user-data` or `openstack/latest/user_data`.
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
    // Each name stands in two trees, with some bytes around it; each directory is a sector or more.
    let names: usize = files.iter().map(|file| 2 * SECTOR * file.name.split('/').count()).sum();
    if label.len() > LONGEST_LABEL {
        let reason = format!("a label has at most {LONGEST_LABEL} characters; shorten volumeLabel");
        return Err(Error { label: label.to_owned(), reason });
    }
    let input = InputFiles {
        path_separator: PathSeparator::ForwardSlash,
        files: tree(files.iter().map(|file| (file.name.as_str(), file.content.as_slice())).collect()),
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
    let mut image = Cursor::new(vec![0u8; OVERHEAD + names + sectors * SECTOR]);
    IsoImageWriter::create(&mut image, input, options)
        .map_err(|error| Error { label: label.to_owned(), reason: error.to_string() })?;
    Ok(image.into_inner())
}

/// Paths and contents below one directory.
type Below<'a> = Vec<(&'a str, &'a [u8])>;

/// Sorts files into directories.
fn tree(files: Below<'_>) -> Vec<IsoFile> {
    let mut entries = Vec::new();
    let mut directories: Vec<(&str, Below<'_>)> = Vec::new();
    for (path, content) in files {
        match path.split_once('/') {
            None => {
                entries.push(IsoFile::File { name: Arc::new(path.to_owned()), contents: content.to_vec() });
            }
            Some((first, rest)) => match directories.iter_mut().find(|(name, _)| *name == first) {
                Some((_, inner)) => inner.push((rest, content)),
                None => directories.push((first, vec![(rest, content)])),
            },
        }
    }
    entries.extend(
        directories.into_iter().map(|(name, inner)| IsoFile::Directory {
            name: Arc::new(name.to_owned()),
            children: tree(inner),
        }),
    );
    entries
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
    fn directories_and_long_names_that_begin_alike_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.iso");
        let file = |name: &str, content: &str| SeedFile { name: name.to_owned(), content: content.into() };
        let files = [
            file("openstack/latest/meta_data.json", "{}"),
            file("openstack/latest/user_data", "#cloud-config"),
            file("application-settings-1.properties", "one"),
            file("application-settings-2.properties", "two"),
        ];
        std::fs::write(&path, iso("config-2", &files).unwrap()).unwrap();
        for extension in ["-R", "-J"] {
            for file in &files {
                let read = Command::new("isoinfo")
                    .args([extension, "-x", &format!("/{}", file.name), "-i"])
                    .arg(&path)
                    .output()
                    .expect("isoinfo (genisoimage) is installed by make deps");
                assert_eq!(read.stdout, file.content, "{} with {extension}", file.name);
            }
        }
        let long = iso(&"x".repeat(33), &files).unwrap_err().to_string();
        assert!(long.contains("shorten volumeLabel"), "{long}");
    }

    #[test]
    fn many_files_have_room() {
        let files: Vec<_> = (0..1000)
            .map(|number| SeedFile {
                name: format!("folder-{}/file-{number}", number % 50),
                content: vec![1],
            })
            .collect();
        assert!(iso("cfgdata", &files).is_ok());
    }

    #[test]
    fn the_same_seed_gives_the_same_size_and_debug_shows_no_content() {
        let (a, b) = (iso("cidata", &seed()).unwrap(), iso("cidata", &seed()).unwrap());
        assert_eq!(a.len(), b.len());
        assert!(!format!("{:?}", seed()).contains("hostname"));
    }
}
