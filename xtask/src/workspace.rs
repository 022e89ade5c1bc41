//! Where the workspace is.

use std::path::{Path, PathBuf};

/// Returns the root of the workspace that cargo runs the chore for. Checkouts that share a target directory may share the
/// program as well, so what was true when it was compiled comes last.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}
