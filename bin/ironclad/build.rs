//! Embeds the launcher that `IRONCLAD_EMBED_LAUNCHER` names, packed, or nothing in a development build.

use std::fs::File;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=IRONCLAD_EMBED_LAUNCHER");
    let target = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("launcher");
    match std::env::var_os("IRONCLAD_EMBED_LAUNCHER").map(PathBuf::from) {
        Some(path) => {
            println!("cargo:rerun-if-changed={}", path.display());
            let failed = |error| format!("embedding {}: {error}", path.display());
            let mut packed = GzEncoder::new(File::create(&target)?, Compression::best());
            std::io::copy(&mut File::open(&path).map_err(failed)?, &mut packed).map_err(failed)?;
            packed.finish().map_err(failed)?;
        }
        None => std::fs::write(&target, [])?,
    }
    Ok(())
}
