//! Memory that runs out: of one machine's Pod, and of the node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::rough::{processes, runs};
use e2e::{BLANK, blank, container_disk, example, machine};
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(180);

/// Returns the directory that counts the memory of process `pid`, where there are control groups for that.
fn memory_group(pid: i32) -> Option<PathBuf> {
    let memberships = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let of = |prefix: &str, root: &str| {
        let path = memberships.lines().find_map(|line| line.split_once(prefix).map(|(_, path)| path))?;
        Some(Path::new(root).join(path.trim_start_matches('/')))
    };
    let elder = of(":memory:", "/sys/fs/cgroup/memory");
    let group = elder.or_else(|| of("0::", "/sys/fs/cgroup"))?;
    group.join("cgroup.procs").exists().then_some(group)
}

#[test]
fn a_machine_that_outgrows_its_pod_says_what_it_may_use_and_what_to_do() {
    let installation = Installation::start(Options::default());
    let fill = "dd if=/dev/zero of=/run/fill bs=1M count=150; echo survived > /dev/console";
    let resources =
        "        resources: {limits: {memory: 192Mi}, overcommitGuestOverhead: true}\n        memory:\n";
    let manifest = example("hello.yaml")
        .replace("runStrategy: Always", "runStrategy: Once")
        .replace("        memory:\n", resources)
        .replace(r#"echo "GREETING" > /dev/console"#, fill);
    installation.apply(&manifest);
    let shim = until_some("its Pod runs", PATIENCE, || Some(processes(&installation, "hello")?.shim()));
    let group = memory_group(shim)
        .filter(|group| group.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pod")));
    if group.is_none() {
        eprintln!("skipped: this machine has no control group for the memory of this user's Pods");
        return;
    }
    let told = until_some("the instance says how it ended", PATIENCE, || {
        installation.events("hello", "Stopped").into_iter().next()
    });
    for part in ["for want of memory", "its Pod may use 192 MiB", "raise spec.domain.resources.limits.memory"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert!(!installation.console("default", "hello").contains("survived"));
}

/// A control group with hardly any memory, gone with the value.
struct Narrow(PathBuf);

impl Narrow {
    /// Puts process `pid` into one; `None` where that cannot be done.
    fn around(pid: i32) -> Option<Self> {
        let narrow = Self(memory_group(pid)?.join(format!("ironclad-narrow-{pid}")));
        std::fs::create_dir(&narrow.0).ok()?;
        // Less than what must be available, and more than the process comes to need: what it has stays where it was.
        let limit = (90 << 20).to_string();
        let files = ["memory.limit_in_bytes", "memory.max"].map(|file| narrow.0.join(file));
        std::fs::write(files.iter().find(|file| file.exists())?, limit).ok()?;
        std::fs::write(narrow.0.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(narrow)
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        let above = self.0.parent().map(|above| above.join("cgroup.procs"));
        for pid in std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = above.as_ref().map(|above| std::fs::write(above, pid));
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_node_without_memory_takes_no_more_machines_and_ends_none() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&machine("early", &container_disk(BLANK)));
    until("it runs", PATIENCE, || runs(&installation, "early"));
    let Some(narrow) = Narrow::around(installation.pid()) else {
        eprintln!("skipped: no control group for memory can be made here");
        return;
    };
    until("the node says that it is short of memory", PATIENCE, || {
        installation
            .condition("node", "node-0", "MemoryPressure")
            .is_some_and(|told| told.starts_with("less than 100 MiB of memory were available"))
    });
    let tainted = || {
        let node = installation.list("nodes").into_iter().next().unwrap_or_default();
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        taints.iter().any(|taint| taint["key"] == "node.kubernetes.io/memory-pressure")
    };
    until("the node keeps machines away", PATIENCE, tainted);
    installation.apply(&machine("late", &container_disk(BLANK)));
    let told = until_some("a new machine says what it waits for", PATIENCE, || {
        installation.condition("vmi", "late", "PodScheduled").filter(|told| told.contains("MiB of memory"))
    });
    assert!(told.contains("memory-pressure") && told.contains("end machines on this node"), "{told}");
    assert!(runs(&installation, "early"), "what runs goes on");

    // A kubelet that starts anew looks anew.
    installation.kill();
    drop(narrow);
    installation.up();
    until("the machine that waited runs", PATIENCE, || runs(&installation, "late"));
    assert!(!tainted());
}
