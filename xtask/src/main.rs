//! Chores of the workspace: `cargo xtask CHORE`.

mod docs;
mod generate_api;
mod layers;
mod workspace;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, [])) if chore == "check-docs" => docs::check(),
        Some((chore, [])) if chore == "check-layers" => layers::check(),
        Some((chore, rest)) if chore == "generate-api" => generate_api::run(rest),
        _ => bail!("usage: cargo xtask check-docs | check-layers | generate-api [--import SWAGGER]"),
    }
}
