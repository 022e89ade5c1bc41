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
    let clients = repository().join(".cache/clients");
    let newest = std::fs::read_dir(&clients).ok().and_then(|entries| {
        entries.flatten().map(|entry| entry.path().join("kubectl")).find(|path| path.exists())
    });
    newest.unwrap_or_else(|| panic!("no kubectl in {}: run `scripts/kubectl` first", clients.display()))
}
