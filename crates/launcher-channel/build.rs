//! Compiles the launcher protocol's service; its messages are those of `wire`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../wire/proto");
    let files = protox::compile(["../wire/proto/launcher.proto"], ["../wire/proto"])?;
    tonic_prost_build::configure()
        .extern_path(".ironclad.launcher.v1", "::wire::launcher::v1")
        .compile_fds(files)?;
    Ok(())
}
