//! Control groups, version 1: one hierarchy for each controller.

use std::path::{Path, PathBuf};

use super::{Base, Error, Limits, mounts, shown, write};
use crate::Root;

/// Controllers that Pods are limited by.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// Microseconds over which a share of a processor is measured.
const PERIOD: u64 = 100_000;

/// Makes a parent directory in every hierarchy that allows it.
pub(super) fn prepare(
    root: &Root,
    mountinfo: &str,
    memberships: &str,
    name: &str,
) -> (Vec<Base>, Option<String>) {
    let mut bases: Vec<Base> = Vec::new();
    let mut missing = Vec::new();
    for controller in CONTROLLERS {
        match parent(root, mountinfo, memberships, controller, name) {
            Some(directory) => bases.push(Base::V1 { controller: controller.to_owned(), directory }),
            None => missing.push(controller),
        }
    }
    let note = if bases.is_empty() {
        Some("no control group may be made here: Pods run without limits".to_owned())
    } else if missing.is_empty() {
        None
    } else {
        Some(format!("control groups lack {}: Pods run without that limit", missing.join(", ")))
    };
    (bases, note)
}

fn parent(root: &Root, mountinfo: &str, memberships: &str, controller: &str, name: &str) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|item| item == controller);
    let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup" && has(mount.options))?;
    let own = memberships.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        has(controllers).then_some(path)
    })?;
    // Below the own group, so that a machine's limits on the whole of us hold for the Pods too.
    let directory = root.path(shown(&mount, own)).join(name);
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}

/// Sets the limits of one controller.
pub(super) fn limit(controller: &str, directory: &Path, limits: &Limits) -> Result<(), Error> {
    match controller {
        "memory" => {
            limits.memory_bytes.map_or(Ok(()), |bytes| write(directory, "memory.limit_in_bytes", bytes))
        }
        "pids" => limits.tasks.map_or(Ok(()), |tasks| write(directory, "pids.max", tasks)),
        "cpu" => {
            if let Some(millis) = limits.cpu_request_millis {
                write(directory, "cpu.shares", (millis * 1024 / 1000).max(2))?;
            }
            if let Some(millis) = limits.cpu_limit_millis {
                write(directory, "cpu.cfs_period_us", PERIOD)?;
                write(directory, "cpu.cfs_quota_us", (millis * PERIOD / 1000).max(1000))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
