//! `ironclad crds`: every CustomResourceDefinition as YAML.

use anyhow::{Context, Result};

use crate::say;

/// Prints the definitions, one YAML document each.
pub(crate) fn run() -> Result<()> {
    for document in api::crd::all() {
        let text = serde_saphyr::to_string(&document).context("writing a definition as YAML")?;
        say::text(format!("---\n{text}").as_bytes());
    }
    Ok(())
}
