//! Generates the launcher protocol's gRPC client and server; the messages themselves are `wire`'s.
//!
//! Of the frozen first version a whole server is made, messages included, for the tests: a launcher as old as a launcher can be.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../wire/proto");
    println!("cargo:rerun-if-changed=../wire/tests/frozen");
    let files = protox::compile(["../wire/proto/launcher.proto"], ["../wire/proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".ironclad.launcher.v1", "::wire::launcher::v1")
        .compile_fds(files)?;

    let frozen = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names a directory")?).join("frozen");
    std::fs::create_dir_all(&frozen)?;
    let files = protox::compile(["../wire/tests/frozen/launcher-v1.proto"], ["../wire/tests/frozen"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(false)
        .out_dir(frozen)
        .compile_fds(files)?;
    Ok(())
}
