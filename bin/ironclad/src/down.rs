//! `ironclad down`: stops what `up` started.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::DownArgs;
use crate::instance::{self, Instance};
use crate::layout::Layout;
use crate::say::say;
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
            say!("stopped the control plane (process {pid})");
        }
        None => say!("no control plane runs on {}", layout.root().display()),
    }
    if arguments.keep_guests {
        say!("guests go on; `ironclad up` takes them over");
        return Ok(());
    }
    for name in nodes(&layout) {
        let config = node::config(&name, &layout)?;
        let stopped = kubelet::runtime::stop_everything(&config, Duration::from_secs(arguments.grace_period))
            .with_context(|| format!("stopping the guests of {name}"))?;
        if stopped > 0 {
            say!("stopped {stopped} guests of {name}");
        }
        // How the guests ended is for the next `up` to tell.
        let clean = if arguments.purge {
            kubelet::runtime::remove_everything
        } else {
            kubelet::runtime::end_everything
        };
        clean(&config).with_context(|| format!("cleaning up {name}"))?;
    }
    if layout.network().exists() {
        network::nodes::teardown(&node::shared_network(&layout, 0)).context("removing the nodes' network")?;
    }
    if arguments.purge {
        purge(&layout)?;
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

/// Removes what an installation makes, and its directory when nothing else is in it: somebody may have named a directory
/// that holds more, or a mount point.
fn purge(layout: &Layout) -> Result<()> {
    let contents: Vec<_> =
        layout.contents().into_iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    for path in &contents {
        let is_directory = path.symlink_metadata().is_ok_and(|data| data.is_dir());
        let removed = if is_directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    let root = layout.root().display();
    if layout.is_linked() && !contents.is_empty() {
        say!("emptied {root}, which a link leads to");
        return Ok(());
    }
    match std::fs::remove_dir(layout.root()) {
        Ok(()) => say!("removed {root}"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(_) if contents.is_empty() => say!("{root} holds no installation; nothing was removed"),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            say!("removed the installation in {root}; what else is there stays");
        }
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            say!("emptied {root}, which is a mount point and stays");
        }
        Err(error) => return Err(error).with_context(|| format!("removing {root}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DataDir;

    #[test]
    fn only_what_is_ours_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("data");
        let layout = Layout::of(&DataDir { data_dir: Some(root.clone()) }).unwrap();
        layout.create().unwrap();
        std::fs::write(layout.database(), "").unwrap();
        std::fs::write(root.join("thesis.tex"), "").unwrap();
        purge(&layout).unwrap();
        let left: Vec<_> =
            std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["thesis.tex"]);
        std::fs::remove_file(root.join("thesis.tex")).unwrap();
        purge(&layout).unwrap();
        assert!(!root.exists());
        purge(&layout).unwrap();
    }
}
