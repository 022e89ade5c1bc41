//! Where an installation keeps what: the one place that knows the data directory's inside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cli::DataDir;
use crate::registries::Registries;

/// The data directory of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    /// Somebody named it by a link, which would lead nowhere without it.
    linked: bool,
}

impl Layout {
    /// Chooses the directory that `options` name, or the default of this user.
    pub(crate) fn of(options: &DataDir) -> Result<Self> {
        let root = match &options.data_dir {
            Some(directory) => std::path::absolute(directory)
                .with_context(|| format!("making --data-dir {} absolute", directory.display()))?,
            None => default_root()?,
        };
        // One directory has one name, by whichever link it is reached: networks and control groups are named after it.
        Ok(Self { linked: root.is_symlink(), root: resolved(&root) })
    }

    /// Makes the directories that every command may write to.
    pub(crate) fn create(&self) -> Result<()> {
        for directory in [self.root.clone(), self.pki(), self.run(), self.logs(), self.images()] {
            std::fs::create_dir_all(&directory).with_context(|| {
                let what = if directory.exists() { " (it is there and no directory)" } else { "" };
                format!("making {}{what}; choose another place by --data-dir", directory.display())
            })?;
        }
        restrict(&self.pki())?;
        restrict(&self.run())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the directory was named by a link.
    pub(crate) fn is_linked(&self) -> bool {
        self.linked
    }

    /// The objects.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// Certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// What `kubectl` needs to reach the API server as its administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// The image store.
    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// What registries need to be reached.
    pub(crate) fn registries(&self) -> Registries {
        Registries::new(self.root.join("registries"))
    }

    /// Logs of a detached `up`.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The lock that `up` holds while it runs; it contains the process ID.
    pub(crate) fn lock(&self) -> PathBuf {
        self.run().join("ironclad.lock")
    }

    /// Executables that this binary carries, by content.
    pub(crate) fn executables(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// The nodes, a directory each.
    pub(crate) fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// What connects several nodes.
    pub(crate) fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    /// Pods and volumes of one node.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        self.nodes().join(name)
    }

    /// Local volumes of one node, a directory each. They stay when the node is stopped.
    pub(crate) fn volumes(&self, name: &str) -> PathBuf {
        self.node(name).join("volumes")
    }

    /// Everything that an installation makes in its directory.
    pub(crate) fn contents(&self) -> Vec<PathBuf> {
        let mut contents = vec![self.pki(), self.kubeconfig(), self.images(), self.root.join("registries")];
        contents.extend([self.logs(), self.executables(), self.nodes(), self.network(), self.run()]);
        contents.extend([self.restored(), self.root.join("restore.partial")]);
        contents.extend(self.database_files());
        contents
    }

    /// The file with the objects, last, and those that are beside it.
    pub(crate) fn database_files(&self) -> [PathBuf; 5] {
        let database = |suffix: &str| self.root.join(format!("state.db{suffix}"));
        ["-wal", "-shm", "-journal", ".lock", ""].map(database)
    }

    /// What a restore has decided on and not yet moved to its places.
    pub(crate) fn restored(&self) -> PathBuf {
        self.root.join("restore")
    }

    fn run(&self) -> PathBuf {
        self.root.join("run")
    }
}

/// Follows the links in as much of `path` as exists.
fn resolved(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, canonical)) => match path.strip_prefix(above) {
            Ok(rest) if !rest.as_os_str().is_empty() => canonical.join(rest),
            _ => canonical,
        },
        None => path.to_owned(),
    }
}

/// Keeps everyone but the owner out of `directory`.
fn restrict(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("restricting {}", directory.display()))
}

#[allow(clippy::disallowed_methods, reason = "bin is where the environment is read")]
fn default_root() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/ironclad"));
    }
    if let Some(data_home) = std::env::var_os("XDG_DATA_HOME").filter(|home| !home.is_empty()) {
        return Ok(PathBuf::from(data_home).join("ironclad"));
    }
    match std::env::home_dir() {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(".local/share/ironclad")),
        _ => bail!("this user has no home directory: name a place for the data by --data-dir"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_name() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, directory.path().join("link")).unwrap();
        assert_eq!(resolved(&directory.path().join("link")), real);
        assert_eq!(resolved(&directory.path().join("link/new/one")), real.join("new/one"));
        assert_eq!(resolved(&real.join("../real")), real);
    }
}
