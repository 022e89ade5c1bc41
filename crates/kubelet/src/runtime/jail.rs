//! How a planned Pod's jail looks on this host.

use std::path::{Path, PathBuf};

use host::cgroup::Group;
use host::jail::{Device, Entry, JailSpec, Limit, UserMap};

use crate::plan::PodPlan;
use crate::record::ContainerLog;
use crate::volumes;

/// Open files that a Pod's processes may have.
const OPEN_FILES: u64 = 1 << 20;
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Describes the jail of the Pod in `directory`. `resolver` is its `resolv.conf`; without privilege it has a user
/// namespace.
pub(super) fn spec(
    directory: &Path,
    plan: &PodPlan,
    group: &Group,
    log: PathBuf,
    resolver: &str,
    privileged: bool,
) -> JailSpec {
    let mut entries = plan.image.entries();
    let etc = |name: &str, content: String| Entry::File { target: Path::new("/etc").join(name), content };
    let bind = |source: PathBuf, target: PathBuf, read_only| Entry::Bind {
        source,
        target,
        read_only,
        optional: false,
    };
    let (user, group_id) = (plan.user, plan.group);
    entries.push(etc("passwd", format!("root:x:0:0::/:/bin/false\npod:x:{user}:{group_id}::/:/bin/false\n")));
    entries.push(etc("group", format!("root:x:0:\npod:x:{group_id}:\n")));
    entries.push(etc("hostname", format!("{}\n", plan.hostname)));
    entries.push(etc("resolv.conf", resolver.to_owned()));
    entries.push(bind(directory.join("etc-hosts"), "/etc/hosts".into(), true));
    for mount in &plan.mounts {
        if let Some(volume) = plan.volumes.iter().find(|volume| volume.name == mount.volume) {
            let read_only = mount.read_only || !volume.source.is_writable();
            entries.push(bind(volumes::path(directory, volume), mount.path.clone(), read_only));
        }
    }
    let defaults = [("PATH", SEARCH_PATH), ("HOME", "/"), ("HOSTNAME", &plan.hostname)];
    let defaults = defaults.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let first = plan.arguments.first().map_or(plan.image.path.as_path(), Path::new);
    JailSpec {
        hostname: plan.hostname.clone(),
        root: directory.join("root"),
        entries,
        devices: plan.devices.iter().map(|path| Device { path: path.clone() }).collect(),
        user,
        group: group_id,
        groups: plan.groups.clone(),
        user_namespace: (!privileged).then_some(UserMap { user, group: group_id }),
        host_network: false,
        cgroups: group.directories().to_vec(),
        limits: vec![Limit::Core(0), Limit::OpenFiles(OPEN_FILES)],
        bounding: Vec::new(),
        seccomp: true,
        program: first.to_owned(),
        arguments: plan.arguments.clone(),
        environment: defaults.into_iter().chain(plan.environment.iter().cloned()).collect(),
        directory: plan.directory.clone(),
        log,
    }
}

/// Lists the containers' log files.
pub(super) fn logs(directory: &Path, plan: &PodPlan, log: &Path) -> Vec<ContainerLog> {
    let mut logs = vec![ContainerLog { container: plan.container.clone(), file: log.to_owned() }];
    for (container, inside) in &plan.followers {
        if let Some(file) = on_host(directory, plan, inside) {
            logs.push(ContainerLog { container: container.clone(), file });
        }
    }
    logs
}

/// Translates a path inside the Pod to where the host has it; `None` when it is in no volume.
pub(super) fn on_host(directory: &Path, plan: &PodPlan, inside: &Path) -> Option<PathBuf> {
    let mount = plan.mounts.iter().rev().find(|mount| inside.starts_with(&mount.path))?;
    let volume = plan.volumes.iter().find(|volume| volume.name == mount.volume)?;
    Some(volumes::path(directory, volume).join(inside.strip_prefix(&mount.path).ok()?))
}
