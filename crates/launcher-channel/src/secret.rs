//! The session secret: who set it once is who may command.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// The secret of one launcher's sessions, kept in a file that a replacement of the launcher reads again.
#[derive(Debug)]
pub struct Secret {
    file: PathBuf,
    known: Option<Vec<u8>>,
}

/// Shortest secret that is accepted, in bytes.
pub(crate) const SHORTEST: usize = 16;

impl Secret {
    /// Reads the secret kept in `file`; a missing file means that no session was opened yet.
    pub fn load(file: &Path) -> io::Result<Self> {
        let known = match std::fs::read(file) {
            Ok(bytes) if bytes.len() >= SHORTEST => Some(bytes),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file: file.to_owned(), known })
    }

    /// Adopts `offered` if no secret is known yet, and says whether it is the right one.
    ///
    /// # Errors
    /// The secret could not be written; nothing was adopted.
    pub(crate) fn admit(&mut self, offered: &[u8]) -> io::Result<bool> {
        if let Some(known) = &self.known {
            return Ok(same(known, offered));
        }
        if offered.len() < SHORTEST {
            return Ok(false);
        }
        self.keep(offered)?;
        self.known = Some(offered.to_vec());
        Ok(true)
    }

    /// Says whether `offered` is the secret of an open session.
    pub(crate) fn matches(&self, offered: &[u8]) -> bool {
        self.known.as_deref().is_some_and(|known| same(known, offered))
    }

    fn keep(&self, secret: &[u8]) -> io::Result<()> {
        let draft = self.file.with_extension("new");
        let fd = rustix::fs::open(
            &draft,
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?;
        let mut rest = secret;
        while !rest.is_empty() {
            let written = rustix::io::write(&fd, rest)?;
            rest = &rest[written..];
        }
        // Not synchronised: the secret outlives this process, and no process outlives a loss of power.
        rustix::fs::renameat_with(CWD, &draft, CWD, &self.file, rustix::fs::RenameFlags::NOREPLACE).or_else(
            |error| match error {
                // Some file systems know no flags; nobody else writes here.
                rustix::io::Errno::INVAL => rustix::fs::rename(&draft, &self.file),
                error => {
                    let _ = rustix::fs::unlinkat(CWD, &draft, AtFlags::empty());
                    Err(error)
                }
            },
        )?;
        Ok(())
    }
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_secret_stays_and_outlives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("session");
        let mut secret = Secret::load(&file).unwrap();
        assert!(!secret.matches(b""), "no session yet");
        assert!(!secret.admit(b"short").unwrap());
        assert!(secret.admit(b"0123456789abcdef").unwrap());
        assert!(!secret.admit(b"0123456789abcdeX").unwrap());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let mut replaced = Secret::load(&file).unwrap();
        assert!(!replaced.admit(b"ffffffffffffffff").unwrap());
        assert!(replaced.admit(b"0123456789abcdef").unwrap());
    }
}
