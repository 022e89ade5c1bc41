//! Which type stands in which file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The file `layout.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Layout {
    /// Definitions whose closure is served.
    pub(super) roots: Vec<String>,
    /// Integers whose width or sign the reference's document does not tell: Rust type by field.
    pub(super) integers: BTreeMap<String, String>,
    /// What is served of CDI. No program needs its kinds as types, so that only facts are made of them.
    pub(super) cdi: Cdi,
    /// Header of each module, by its path.
    pub(super) modules: BTreeMap<String, String>,
    /// Each file below `crates/api/src`.
    pub(super) files: BTreeMap<String, File>,
}

/// How CDI's document becomes facts.
#[derive(Debug, Deserialize)]
pub(super) struct Cdi {
    /// Definitions whose closure is served.
    pub(super) roots: Vec<String>,
    /// Our names of its definitions, where they do not follow from Kubernetes' packages.
    pub(super) renamed: BTreeMap<String, String>,
}

/// One generated file.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    /// Header of the file.
    pub(super) about: String,
    /// Definitions in it, in order.
    pub(super) types: Vec<String>,
}

impl Layout {
    /// Reads `layout.json`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// Returns the module that holds a definition, for example `kubevirt/v1`.
    pub(super) fn module_of(&self, definition: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|(_, file)| file.types.iter().any(|name| name == definition))
            .and_then(|(path, _)| path.rsplit_once('/'))
            .map(|(module, _)| module)
    }
}
