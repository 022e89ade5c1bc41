//! Holds the crates to their layers: imports point down only, and the lower layers touch nothing outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Kinds of work, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Data only.
    Words,
    /// Pure functions.
    Judgement,
    /// Each touches one outside thing.
    Hands,
    /// One component each.
    Parts,
    /// Programs and tests, which put the parts together.
    Bin,
}

/// Where each crate stands. A crate that is not named here fails the check.
const CRATES: &[(Layer, &[&str])] = &[
    (Layer::Words, &["api", "machinery", "wire"]),
    (Layer::Judgement, &["model", "plan"]),
    (
        Layer::Hands,
        &[
            "certs",
            "disk",
            "effects",
            "host",
            "hypervisor",
            "hypervisor-qemu",
            "image",
            "kube-ext",
            "launcher-channel",
            "network",
            "qmp",
            "store",
            "telemetry",
        ],
    ),
    (
        Layer::Parts,
        &[
            "apiserver",
            "kube-controllers",
            "kube-dns",
            "kube-network",
            "kubelet",
            "virt-api",
            "virt-controller",
            "virt-handler",
            "virt-launcher",
        ],
    ),
    (Layer::Bin, &["bench", "e2e", "ironclad", "kit", "launcher", "node", "sim", "virtctl", "xtask"]),
];

/// Crates that words and judgement may not use: each brings I/O, time, threads or randomness.
const OUTSIDE_CRATES: &[&str] = &[
    "tokio",
    "hyper",
    "axum",
    "kube",
    "rustix",
    "nix",
    "libc",
    "getrandom",
    "rand",
    "reqwest",
    "rusqlite",
    "tonic",
];

/// Paths that words and judgement may not name, for the same reason.
const OUTSIDE_PATHS: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix",
    "std::process",
    "std::thread",
    "std::env::",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Uuid::new_v4",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Checks every crate of the workspace and reports all breaches at once.
///
/// # Errors
/// Names each upward or sideways edge, each forbidden crate and each forbidden path with its line.
pub(crate) fn check() -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let mut breaches = Vec::new();
    for package in &metadata.packages {
        let Some(layer) = layer_of(&package.name) else {
            breaches.push(format!("{} stands in no layer: name it in xtask/src/layers.rs", package.name));
            continue;
        };
        check_edges(package, layer, &mut breaches);
        if layer <= Layer::Judgement {
            let folder = package.manifest_path.parent().context("a manifest has a folder")?;
            check_sources(&package.name, &folder.join("src"), &mut breaches)?;
        }
    }
    if breaches.is_empty() {
        println!("layers: {} crates, every import points down", metadata.packages.len());
        return Ok(());
    }
    bail!("{} breaches of the layers (ARCHITECTURE.md):\n  {}", breaches.len(), breaches.join("\n  "))
}

fn layer_of(name: &str) -> Option<Layer> {
    let table: BTreeMap<_, _> =
        CRATES.iter().flat_map(|(layer, names)| names.iter().map(move |name| (*name, *layer))).collect();
    table.get(name).copied()
}

fn check_edges(package: &Package, layer: Layer, breaches: &mut Vec<String>) {
    for dependency in &package.dependencies {
        if dependency.kind.is_some() {
            continue; // build and dev dependencies do not reach the program
        }
        match layer_of(&dependency.name) {
            Some(below) if below > layer => {
                breaches.push(format!(
                    "{} ({layer:?}) imports {} ({below:?}) above it",
                    package.name, dependency.name
                ));
            }
            Some(Layer::Parts) if layer == Layer::Parts => {
                breaches.push(format!(
                    "{} imports {}: parts never import each other",
                    package.name, dependency.name
                ));
            }
            None if layer <= Layer::Judgement && OUTSIDE_CRATES.contains(&dependency.name.as_str()) => {
                breaches.push(format!(
                    "{} ({layer:?}) uses {}, which reaches outside",
                    package.name, dependency.name
                ));
            }
            Some(_) | None => {}
        }
    }
}

fn check_sources(package: &str, folder: &Path, breaches: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            check_sources(package, &path, breaches)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            // What follows a file's test module is test code: it may read golden files.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            for (number, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for outside in OUTSIDE_PATHS.iter().filter(|outside| line.contains(**outside)) {
                    breaches.push(format!("{}:{}: {package} names {outside}", path.display(), number + 1));
                }
            }
        }
    }
    Ok(())
}
