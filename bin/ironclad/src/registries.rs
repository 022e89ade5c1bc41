//! How registries of images are reached: a directory with a folder for each that needs something special.
//!
//! `registries/HOST[:PORT]/ca.crt` holds certificate authorities, as PEM, that the registry's certificate may come from
//! beside those of the machine; with it the registry is spoken to by TLS, wherever it is. A file
//! `registries/HOST[:PORT]/insecure` says that the registry's certificate is not checked, and that it may have none.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::{Access, Reference};

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Registries(PathBuf);

impl Registries {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Returns how the registry of `reference` is reached. Read at each pull: a change counts at once.
    ///
    /// # Errors
    /// When its authorities cannot be read.
    pub(crate) fn access(&self, reference: &str) -> Result<Access> {
        let mut access = Access::default();
        // A name that is none is refused by whoever pulls it, with a better sentence.
        let Ok(name) = reference.parse::<Reference>() else { return Ok(access) };
        let registry = name.registry();
        if registry.contains('/') || registry.starts_with('.') {
            return Ok(access);
        }
        let path = self.0.join(registry).join("ca.crt");
        if let Some(authorities) = read(&path)? {
            access.authorities.push(authorities);
            access.secure.push(registry.to_owned());
        }
        if self.0.join(registry).join("insecure").exists() {
            access.unverified.push(registry.to_owned());
        }
        Ok(access)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registry_itself_gets_its_authorities() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("127.0.0.1:5000")).unwrap();
        std::fs::write(folder.path().join("127.0.0.1:5000/ca.crt"), "pem").unwrap();
        let registries = Registries::new(folder.path().to_owned());
        let of = |reference: &str| registries.access(reference).unwrap();
        assert_eq!(of("127.0.0.1:5000/a/b:1").secure, ["127.0.0.1:5000"]);
        std::fs::create_dir_all(folder.path().join("old.example")).unwrap();
        std::fs::write(folder.path().join("old.example/insecure"), "").unwrap();
        assert_eq!(of("old.example/a:1").unverified, ["old.example"]);
        for other in ["127.0.0.1:5001/a/b:1", "example.test/a:1", "UPPER CASE", "a"] {
            let access = of(other);
            assert!(access.secure.is_empty() && access.authorities.is_empty(), "{other}");
            assert!(access.unverified.is_empty(), "{other}");
        }
    }
}
