//! Writes the Rust types of the API from `crates/api/facts`.

#[path = "../generate_api/mod.rs"]
mod generate_api;

fn main() -> anyhow::Result<()> {
    generate_api::run(&std::env::args().skip(1).collect::<Vec<_>>())
}
