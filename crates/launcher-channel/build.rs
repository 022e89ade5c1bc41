//! Generates the launcher protocol's gRPC client and server; the messages themselves are `wire`'s.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../wire/proto");
    let files = protox::compile(["../wire/proto/launcher.proto"], ["../wire/proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".ironclad.launcher.v1", "::wire::launcher::v1")
        .compile_fds(files)?;
    Ok(())
}
