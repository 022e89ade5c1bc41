//! Control groups, version 2: one hierarchy.

use std::path::{Path, PathBuf};

use super::{Error, Limits, mounts, shown, write};
use crate::Root;

/// Controllers that Pods are limited by.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
const PERIOD: u64 = 100_000;

/// Why version 2 is not used.
pub(super) enum Unusable {
    /// The machine has none, or keeps its controllers in version 1.
    Hybrid,
    /// This user may not make groups; the reason.
    Denied(String),
}

/// Makes a parent directory for Pods; with it comes a note when some controllers are missing there.
pub(super) fn prepare(
    root: &Root,
    mountinfo: &str,
    memberships: &str,
    name: &str,
) -> Result<(PathBuf, Option<String>), Unusable> {
    let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup2").ok_or(Unusable::Hybrid)?;
    let top = root.path(mount.point);
    let available = std::fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
    if !CONTROLLERS.iter().any(|controller| available.split_whitespace().any(|word| word == *controller)) {
        return Err(Unusable::Hybrid);
    }
    let own = memberships.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    // A group with processes of its own cannot hand controllers down, so the Pods go beside ours: at the
    // top for root, else into the part of the tree that was delegated to the user, which is our parent.
    let beside = root.path(shown(&mount, own));
    let candidates = [top.clone(), beside.parent().map_or_else(|| top.clone(), Path::to_path_buf)];
    for parent in candidates {
        let directory = parent.join(name);
        if std::fs::create_dir_all(&directory).is_ok() {
            let mut missing = Vec::new();
            for controller in CONTROLLERS {
                let enable = format!("+{controller}");
                let handed = write(&parent, "cgroup.subtree_control", &enable)
                    .and_then(|()| write(&directory, "cgroup.subtree_control", &enable));
                if handed.is_err() {
                    missing.push(controller);
                }
            }
            let note = (!missing.is_empty())
                .then(|| format!("control groups lack {}: Pods run without that limit", missing.join(", ")));
            return Ok((directory, note));
        }
    }
    Err(Unusable::Denied(
        "this user may not make control groups: Pods run without limits (start from a systemd user session \
         with delegation, or as root)"
            .to_owned(),
    ))
}

/// Sets the limits. A controller that is missing was noted when the parent was made.
pub(super) fn limit(directory: &Path, limits: &Limits) -> Result<(), Error> {
    let set = |file: &str, value: String| {
        if directory.join(file).exists() { write(directory, file, value) } else { Ok(()) }
    };
    if let Some(bytes) = limits.memory_bytes {
        set("memory.max", bytes.to_string())?;
    }
    if let Some(tasks) = limits.tasks {
        set("pids.max", tasks.to_string())?;
    }
    if let Some(millis) = limits.cpu_limit_millis {
        set("cpu.max", format!("{} {PERIOD}", (millis * PERIOD / 1000).max(1000)))?;
    }
    if let Some(millis) = limits.cpu_request_millis {
        // The same curve as Kubernetes': shares 2..262144 onto weights 1..10000.
        let shares = (millis * 1024 / 1000).clamp(2, 262_144);
        set("cpu.weight", (1 + (shares - 2) * 9999 / 262_142).to_string())?;
    }
    Ok(())
}
