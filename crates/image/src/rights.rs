//! Who may use content that is here already without showing that he can get it.
//!
//! A digest is no secret: manifests, logs and events name it. Whoever knows that of a private layer could write it into a
//! manifest of his own and would be given the layer from here, if that it is here were enough. So each blob has a note of who
//! got it: everybody, or those with certain logins. For others it is downloaded again, which shows that they can.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::Error;
use crate::staging::unique;

/// Folder of a store that holds the notes.
pub(crate) const FOLDER: &str = "rights";
/// Line of a note that stands for everybody.
const EVERYBODY: &str = "everybody";

/// The notes of a store.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    folder: PathBuf,
    staging: PathBuf,
}

impl Rights {
    /// Uses the store at `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { folder: root.join(FOLDER), staging: root.join("staging") }
    }

    /// Returns the folder of the notes.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tells whether somebody with `login` may have the blob. Content without a note, which older releases left, is
    /// nobody's.
    pub(crate) fn has(&self, blob: Digest, login: Option<Digest>) -> bool {
        let note = self.read(blob);
        note.contains(EVERYBODY) || login.is_some_and(|login| note.contains(&login.hex()))
    }

    /// Notes that the blob was given to everybody, or to `login`.
    pub(crate) fn give(&self, blob: Digest, login: Option<Digest>) -> Result<(), Error> {
        if self.has(blob, login) {
            return Ok(());
        }
        let mut note = self.read(blob);
        note.insert(login.map_or_else(|| EVERYBODY.to_owned(), |login| login.hex()));
        let text: String = note.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
        let (partial, path) = (unique(&self.staging), self.folder.join(blob.hex()));
        // Not made durable: what a lost note costs is another download.
        fs::write(&partial, text).map_err(Error::system("write", &partial))?;
        fs::rename(&partial, &path).map_err(Error::system("name", &path))
    }

    fn read(&self, blob: Digest) -> BTreeSet<String> {
        let text = fs::read_to_string(self.folder.join(blob.hex())).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_for_those_who_got_it() {
        let root = tempfile::tempdir().unwrap();
        for folder in [FOLDER, "staging"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let rights = Rights::new(root.path());
        let [blob, first, second] = [b"blob", b"anne", b"bob!"].map(|text| Digest::of(text));
        assert!(!rights.has(blob, None) && !rights.has(blob, Some(first)));
        rights.give(blob, Some(first)).unwrap();
        assert!(rights.has(blob, Some(first)) && !rights.has(blob, Some(second)) && !rights.has(blob, None));
        rights.give(blob, Some(second)).unwrap();
        assert!(rights.has(blob, Some(first)) && rights.has(blob, Some(second)) && !rights.has(blob, None));
        rights.give(blob, None).unwrap();
        assert!(rights.has(blob, None) && rights.has(blob, Some(Digest::of(b"x"))));
    }
}
