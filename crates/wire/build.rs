//! Compiles the launcher protocol's messages.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/launcher.proto"], ["proto"])?;
    let mut config = prost_build::Config::new();
    config.compile_fds(files)?;
    Ok(())
}
