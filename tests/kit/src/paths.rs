//! Where the built programs, the guest and the clients are.

use std::path::PathBuf;

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map_or_else(|| manifest.clone(), PathBuf::from)
}

/// Returns a program of the workspace, built in the same profile as the running test or benchmark.
///
/// # Panics
/// When it was not built; `make test` and `scripts/build dev` do.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its executable");
    let folder = own.parent().expect("an executable is in a folder");
    // Tests are in target/PROFILE/deps, programs one above.
    let folder = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder);
    let path = folder.join(name);
    assert!(path.exists(), "{} is not there: run `scripts/build dev` first", path.display());
    path
}

/// Returns a file of the built guest, for example `vmlinuz`.
///
/// # Panics
/// When the guest was not built; `make guest` does.
pub fn guest(name: &str) -> PathBuf {
    let path = repository().join("guest/out").join(name);
    assert!(path.exists(), "{} is not there: run `make guest` first", path.display());
    path
}

/// Returns the kubectl that the tests bring, of the release that the project is held against.
///
/// # Panics
/// When it is not there; `scripts/kubectl` fetches it.
pub fn kubectl() -> PathBuf {
    client("kubectl")
}

/// Returns the helm that comes with it.
///
/// # Panics
/// When it is not there; `scripts/kubectl` fetches it.
pub fn helm() -> PathBuf {
    client("helm")
}

fn client(name: &str) -> PathBuf {
    let found = fetched("clients", name);
    found.unwrap_or_else(|| panic!("no {name} in .cache/clients: run `scripts/kubectl` first")).join(name)
}

/// Returns the folder of the Python client and all that it needs, for `PYTHONPATH`.
///
/// # Panics
/// When it is not there; `scripts/python-clients` fetches it.
pub fn python_clients() -> PathBuf {
    let found = fetched("python-clients", "kubernetes");
    found.expect("no Python client in .cache/python-clients: run `scripts/python-clients` first")
}

/// Returns the release below `.cache/FOLDER` that has an entry `name`.
fn fetched(folder: &str, name: &str) -> Option<PathBuf> {
    let releases = std::fs::read_dir(repository().join(".cache").join(folder)).ok()?;
    releases.flatten().map(|entry| entry.path()).find(|release| release.join(name).exists())
}
