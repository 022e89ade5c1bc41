//! The end of a whole node: nothing of it stays on the machine.

use std::io;
use std::path::Path;

use host::cgroup::Manager;

use super::PrepareError;
use crate::KubeletConfig;
use crate::record::Record;

/// Ends every Pod of a kubelet that does not run (any more) and removes what they had of this machine: processes, control
/// groups, network. What the Pods left in their directories stays, so that the next kubelet tells how they ended. Blocks.
pub fn end_everything(config: &KubeletConfig) -> Result<(), PrepareError> {
    for (uid, record) in Record::all(&config.pods()) {
        let process =
            record.and_then(|record| record.process).and_then(|process| process.open().ok().flatten());
        if let Some(process) = process {
            // What cannot be killed shows when its control group is removed.
            let _ = process.kill();
            process.wait(std::time::Duration::from_secs(5));
        }
        tracing::debug!(uid, "Pod ended");
    }
    if !config.root.is_dir() {
        return Ok(());
    }
    let cgroups = groups(config)?;
    for pod in cgroups.list() {
        cgroups.group(&pod).destroy()?;
    }
    cgroups.remove()?;
    network::pod::teardown_node(&config.network)?;
    // The rest is about this machine as it was.
    for entry in std::fs::read_dir(&config.root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path != config.pods() {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Ends every Pod of a kubelet that does not run (any more) and removes everything it made on this machine,
/// its root directory included. Blocks.
pub fn remove_everything(config: &KubeletConfig) -> Result<(), PrepareError> {
    end_everything(config)?;
    remove(&config.root)
}

fn remove(path: &Path) -> Result<(), PrepareError> {
    let is_directory = path.symlink_metadata().is_ok_and(|data| data.is_dir());
    let removed = if is_directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(PrepareError::Directory { path: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// Finds the control groups of a kubelet's Pods again, or makes their parents.
pub(super) fn groups(config: &KubeletConfig) -> Result<Manager, PrepareError> {
    let memory = config.root.join("control-groups.json");
    Manager::remembered(&host::Root::default(), &config.cgroup, &memory)
        .map_err(|source| PrepareError::Directory { path: memory.display().to_string(), source })
}
