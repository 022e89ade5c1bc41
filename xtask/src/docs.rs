//! Holds the documents to the tree: what they name must exist, and what the tree consists of must be on the map.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Checks every Markdown file of the repository and reports all breaches at once.
///
/// # Errors
/// Names each link, path and `make` target that does not exist, with its line, and each crate that is not on the map
/// of ARCHITECTURE.md.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let targets = make_targets(&read(&root.join("Makefile"))?);
    let mut breaches = Vec::new();
    let documents = documents(&root)?;
    for document in &documents {
        let text = read(&root.join(document))?;
        for (number, line) in text.lines().enumerate() {
            for missing in missing(&root, document, line, &targets) {
                breaches.push(format!("{}:{}: {missing} does not exist", document.display(), number + 1));
            }
        }
    }
    let map = read(&root.join("ARCHITECTURE.md"))?;
    for folder in ["bin", "crates"] {
        for name in folders(&root.join(folder))? {
            if !map.contains(&name) {
                breaches.push(format!("ARCHITECTURE.md: {folder}/{name} is not on the map"));
            }
        }
    }
    if breaches.is_empty() {
        println!("documents: {} files, everything they name exists", documents.len());
        return Ok(());
    }
    bail!("{} breaches of the documents:\n  {}", breaches.len(), breaches.join("\n  "))
}

/// Returns what a line names that is not there.
fn missing(root: &Path, document: &Path, line: &str, targets: &BTreeSet<String>) -> Vec<String> {
    let beside = root.join(document).parent().map_or_else(|| root.to_owned(), Path::to_owned);
    let links = links(line).filter(|link| !beside.join(link).exists()).map(str::to_owned);
    let mut missing: Vec<_> = links.collect();
    for code in spans(line) {
        if let Some(target) = code.strip_prefix("make ") {
            if !targets.contains(target) {
                missing.push(code.to_owned());
            }
        } else if names_a_path(root, code) && !is_there(root, code) {
            missing.push(code.to_owned());
        }
    }
    missing
}

/// Targets of relative links, without anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

/// What stands between backticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether code means a path of this repository: it begins with a folder of it, or with a crate and `src`. A word in
/// capitals (`crates/NAME`) stands for something that the reader chooses.
fn names_a_path(root: &Path, code: &str) -> bool {
    let Some((first, rest)) = code.split_once('/') else { return false };
    let placeholder = code.split(['/', '.', '-']).any(|word| word.len() > 2 && is_shouted(word));
    let plain = !code.contains([' ', '*', '<', ':', '$', '=']);
    let local =
        !first.is_empty() && first != ".." && root.join(first).is_dir() && !first.starts_with("target");
    plain && !placeholder && (local || (crate_folder(root, first).is_some() && rest.starts_with("src")))
}

fn is_shouted(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_uppercase())
}

/// A path is there when it is a file, a folder, or a module named without its extension.
fn is_there(root: &Path, code: &str) -> bool {
    let code = code.trim_end_matches('/');
    let path = match code.split_once('/').and_then(|(first, rest)| Some((crate_folder(root, first)?, rest))) {
        Some((folder, rest)) => folder.join(rest),
        None => root.join(code),
    };
    path.exists() || path.with_extension("rs").exists()
}

fn crate_folder(root: &Path, name: &str) -> Option<PathBuf> {
    ["crates", "bin"].iter().map(|folder| root.join(folder).join(name)).find(|path| path.is_dir())
}

fn make_targets(makefile: &str) -> BTreeSet<String> {
    let rules = makefile.lines().filter(|line| !line.starts_with(['\t', '.', '#']));
    rules.filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect()
}

/// The Markdown files that belong to the repository, or are about to.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"])
        .current_dir(root)
        .output()
        .context("listing the repository's documents")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let names = String::from_utf8(output.stdout).context("file names in UTF-8")?;
    Ok(names.lines().map(PathBuf::from).filter(|path| root.join(path).exists()).collect())
}

fn folders(path: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
    let folders = entries.flatten().filter(|entry| entry.path().join("Cargo.toml").exists());
    Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_named_and_what_exists_is_not() {
        let targets = make_targets("test: ## Everything\n\t@scripts/test\nlint: a b\n");
        let of = |line: &str| missing(&workspace::root(), Path::new("README.md"), line, &targets);
        let cases: &[(&str, &[&str])] = &[
            ("[tests](docs/testing.md#soak) and [web](https://example.org/x)", &[]),
            ("[gone](docs/gone.md)", &["docs/gone.md"]),
            ("`crates/store/src/lib.rs`, `store/src/lib`, `crates/plan/src/NAME/`", &[]),
            (
                "`crates/store/src/gone.rs` and `store/src/gone`",
                &["crates/store/src/gone.rs", "store/src/gone"],
            ),
            ("`make test`, `make gone`", &["make gone"]),
            ("`kubevirt.io/v1`, `/var/lib/ironclad`, `application/json`, `crates/*/src`", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(of(line), *expected, "{line}");
        }
    }
}
