//! Chores of the workspace: `cargo xtask CHORE`.

mod layers;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let chore = std::env::args().nth(1);
    match chore.as_deref() {
        Some("check-layers") => layers::check(),
        _ => bail!("usage: cargo xtask check-layers"),
    }
}
