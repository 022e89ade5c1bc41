//! Generates the Rust types of the API from the facts in `crates/api/facts`.
//!
//! Two steps, each a function of files to files:
//! - [`import`] reduces a reference OpenAPI document to facts (names, types, requirements; no prose) and is
//!   run when the reference changes;
//! - [`rust`] writes the types from the facts, the layout (which type stands in which file) and our own
//!   descriptions. A test holds the checked-in types to what this step writes.

mod import;
mod layout;
mod names;
mod rust;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::workspace;

/// Runs `generate-api [--import SWAGGER]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = workspace::root();
    match arguments {
        [] => {}
        [flag, swagger] if flag == "--import" => import_facts(&root, Path::new(swagger))?,
        _ => bail!("usage: cargo xtask generate-api [--import SWAGGER.json]"),
    }
    for (path, text) in generate(&root)? {
        let path = root.join("crates/api/src").join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Returns every generated file by its path below `crates/api/src`.
pub(crate) fn generate(root: &Path) -> Result<BTreeMap<String, String>> {
    let facts = read_json(&root.join("crates/api/facts/kubevirt.json"))?;
    let descriptions = read_json(&root.join("crates/api/facts/descriptions.json"))?;
    let kinds = read_json(&root.join("crates/api/facts/kinds.json"))?;
    let layout = layout::Layout::read(&root.join("crates/api/facts/layout.json"))?;
    rust::write(&facts, &descriptions, &kinds, &layout)
}

fn import_facts(root: &Path, swagger: &Path) -> Result<()> {
    let layout = layout::Layout::read(&root.join("crates/api/facts/layout.json"))?;
    let path = root.join("crates/api/facts/kubevirt.json");
    // A few kinds are in no document of the reference: their definitions, written by hand, stay.
    let mut document = read_json(swagger)?;
    if let Some(definitions) = document.get_mut("definitions").and_then(Value::as_object_mut) {
        for (name, known) in read_json(&path)? {
            definitions.entry(name).or_insert(known);
        }
    }
    let facts = import::reduce(&document, &layout.roots)?;
    std::fs::write(&path, import::one_definition_a_line(&facts))
        .with_context(|| format!("write {}", path.display()))
}

fn read_json(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_in_types_are_what_the_facts_say() {
        let root = workspace::root();
        for (path, text) in generate(&root).unwrap() {
            let found = std::fs::read_to_string(root.join("crates/api/src").join(&path)).unwrap_or_default();
            assert!(found == text, "crates/api/src/{path} is out of date: run `cargo xtask generate-api`");
        }
    }
}
