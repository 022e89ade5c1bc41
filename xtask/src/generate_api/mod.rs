//! Generates the Rust types of the API from the facts in `crates/api/facts`.
//!
//! Two steps, each a function of files to files:
//! - [`import`] reduces a reference OpenAPI document (KubeVirt's, or that of CDI) to facts (names, types, requirements; no
//!   prose) and is run when the reference changes;
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

/// Runs `generate-api [--import SWAGGER | --import-cdi SWAGGER]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = workspace::root();
    match arguments {
        [] => {}
        [flag, swagger] if flag == "--import" => import_facts(&root, Path::new(swagger))?,
        [flag, swagger] if flag == "--import-cdi" => import_cdi(&root, Path::new(swagger))?,
        _ => bail!("usage: cargo xtask generate-api [--import KUBEVIRT.json | --import-cdi CDI.json]"),
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
    let layout = layout::Layout::read(&root.join("crates/api/facts/layout.json"))?;
    let mut facts = read_json(&root.join("crates/api/facts/kubevirt.json"))?;
    let homeless = facts.keys().find(|name| !name.starts_with("k8s.io.") && layout.module_of(name).is_none());
    if let Some(definition) = homeless {
        bail!("{definition} stands in no file: add it to crates/api/facts/layout.json");
    }
    facts.extend(read_json(&root.join("crates/api/facts/cdi.json"))?);
    let descriptions = read_json(&root.join("crates/api/facts/descriptions.json"))?;
    let kinds = read_json(&root.join("crates/api/facts/kinds.json"))?;
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

/// Imports the kinds of CDI, whose document names what is Kubernetes' by shorter names. What `kubevirt.json` says of them as well
/// is left out; where CDI knows more fields, its facts stand beside and hold for both.
fn import_cdi(root: &Path, swagger: &Path) -> Result<()> {
    let facts = root.join("crates/api/facts");
    let layout = layout::Layout::read(&facts.join("layout.json"))?;
    let known = read_json(&facts.join("kubevirt.json"))?;
    let mut document = import::renamed(&read_json(swagger)?, &layout.cdi.renamed, &known)?;
    let path = facts.join("cdi.json");
    let definitions = document.get_mut("definitions").and_then(Value::as_object_mut);
    let definitions = definitions.context("the document has no `definitions`")?;
    definitions.retain(|name, _| name.starts_with("v1beta1.") || !known.contains_key(name));
    let own = if path.exists() { read_json(&path)? } else { Map::new() };
    for (name, fact) in own.into_iter().chain(known.clone()) {
        definitions.entry(name).or_insert(fact);
    }
    let mut reduced = import::reduce(&document, &layout.cdi.roots)?;
    reduced.retain(|name, fact| known.get(name) != Some(fact));
    std::fs::write(&path, import::one_definition_a_line(&reduced))
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
