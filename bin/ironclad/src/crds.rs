//! `ironclad crds`: every CustomResourceDefinition as YAML.

use std::io::Write as _;

use anyhow::{Context, Result};

/// Prints the definitions, one YAML document each.
pub(crate) fn run() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for document in api::crd::all() {
        let text = serde_saphyr::to_string(&document).context("writing a definition as YAML")?;
        write!(out, "---\n{text}").context("writing to standard output")?;
    }
    Ok(())
}
