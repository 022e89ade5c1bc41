//! Embeds the launcher that `IRONCLAD_EMBED_LAUNCHER` names, or nothing in a development build.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=IRONCLAD_EMBED_LAUNCHER");
    let target = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("launcher");
    match std::env::var_os("IRONCLAD_EMBED_LAUNCHER").map(PathBuf::from) {
        Some(path) => {
            println!("cargo:rerun-if-changed={}", path.display());
            std::fs::copy(&path, &target)
                .map_err(|error| format!("embedding {}: {error}", path.display()))?;
        }
        None => std::fs::write(&target, [])?,
    }
    Ok(())
}
