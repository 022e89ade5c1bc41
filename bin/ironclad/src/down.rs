//! `ironclad down`: stops what `up` started.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::DownArgs;
use crate::instance::{self, Instance};
use crate::layout::Layout;
use crate::up::node;

/// How long a control plane may take to end its connections.
const PATIENCE: Duration = Duration::from_secs(15);

/// Stops the control plane, then the guests, then removes what they left; with `--purge` the data too.
///
/// # Errors
/// When something cannot be stopped or removed.
pub(crate) fn run(arguments: &DownArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    match Instance::running(&layout) {
        Some(pid) => {
            instance::stop(pid, PATIENCE)?;
            println!("stopped the control plane (process {pid})");
        }
        None => println!("no control plane runs on {}", layout.root().display()),
    }
    if arguments.keep_guests {
        println!("guests go on; `ironclad up` takes them over");
        return Ok(());
    }
    for name in nodes(&layout) {
        let config = node::config(&name, &layout)?;
        let stopped = kubelet::runtime::stop_everything(&config, Duration::from_secs(arguments.grace_period))
            .with_context(|| format!("stopping the guests of {name}"))?;
        if stopped > 0 {
            println!("stopped {stopped} guests of {name}");
        }
        kubelet::runtime::remove_everything(&config).with_context(|| format!("cleaning up {name}"))?;
    }
    if layout.network().exists() {
        network::nodes::teardown(&node::shared_network(&layout, 0)).context("removing the nodes' network")?;
    }
    if arguments.purge {
        if layout.root().exists() {
            purge(&layout)?;
            println!("removed {}", layout.root().display());
        }
    }
    Ok(())
}

/// Names of the nodes that this installation ever had.
fn nodes(layout: &Layout) -> Vec<String> {
    let entries = std::fs::read_dir(layout.nodes()).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn purge(layout: &Layout) -> Result<()> {
    match std::fs::remove_dir_all(layout.root()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", layout.root().display()))
        }
        _ => Ok(()),
    }
}
