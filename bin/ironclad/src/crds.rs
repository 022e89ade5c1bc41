//! `ironclad crds`: every CustomResourceDefinition as YAML.

use anyhow::{Context, Result};

use crate::cli::CrdsArgs;
use crate::say;

/// Prints the definitions, one YAML document each.
pub(crate) fn run(arguments: CrdsArgs) -> Result<()> {
    for document in api::crd::all() {
        let group = document["spec"]["group"].as_str().unwrap_or_default();
        if arguments.without_cdi && group.ends_with("cdi.kubevirt.io") {
            continue;
        }
        let text = serde_saphyr::to_string(&document).context("writing a definition as YAML")?;
        say::text(format!("---\n{text}").as_bytes());
    }
    Ok(())
}
