//! How long a machine takes to start, in interleaved pairs with bare QEMU.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::kubevirt::v1::VirtualMachine;
use kit::{Installation, Options};
use kube_ext::{Api, Client, Delete, Key};

use crate::bare::Bare;
use crate::machine::{FIRST_LINE, MEMORY_MIB, manifest};
use crate::process;
use crate::report::Report;

/// A guest under emulation on a busy machine.
const PATIENCE: f64 = 120.0;

/// Measures apply to executed and apply to the first line of user space, against bare QEMU.
pub(crate) fn against_bare(report: &mut Report, pairs: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installation = Installation::start(Options::default());
    let client = runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")))?;
    let scratch = tempfile::tempdir().context("a directory for logs")?;
    let (mut executed, mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first machine unpacks images and warms caches for both.
    runtime.block_on(one_of_ours(&client, &installation, "warm"))?;
    one_bare(&scratch.path().join("warm.log"))?;
    for pair in 0..pairs {
        let name = format!("pair-{pair}");
        let log = scratch.path().join(format!("{name}.log"));
        // Who goes first alternates, so that drift of the machine favours neither.
        let (our, bare_line) = if pair % 2 == 0 {
            let our = runtime.block_on(one_of_ours(&client, &installation, &name))?;
            (our, one_bare(&log)?)
        } else {
            let bare_line = one_bare(&log)?;
            (runtime.block_on(one_of_ours(&client, &installation, &name))?, bare_line)
        };
        executed.push(our.0 * 1000.0);
        ours.push(our.1);
        bare.push(bare_line);
        ratios.push(our.1 / bare_line);
    }
    report.add_samples("apply to hypervisor executed", "ms", &executed, Some(100.0));
    report.add_samples("apply to first userspace line", "s", &ours, None);
    report.add_samples("bare QEMU to first userspace line", "s", &bare, None);
    report.add_samples("apply to first userspace line against bare QEMU", "ratio", &ratios, Some(1.05));
    Ok(())
}

/// Starts one machine and returns the seconds to the hypervisor's start and to the first line.
async fn one_of_ours(client: &Client, installation: &Installation, name: &str) -> Result<(f64, f64)> {
    let api = Api::<VirtualMachine>::new(client);
    let begun = process::now();
    api.create("default", &manifest(name, "Always")).await?;
    let nodes = installation.data_dir().join("nodes");
    let log = until(begun, "its console log", || find_log(&nodes)).await?;
    let line = until(begun, "the first line", || {
        std::fs::read_to_string(&log).ok()?.contains(FIRST_LINE).then(process::now)
    })
    .await?;
    let machine = format!("default_{name}");
    let hypervisor = process::find(|line| line.contains("qemu-system") && line.contains(&machine));
    let (pid, _) = hypervisor.first().context("the hypervisor runs")?;
    let started = process::started_at(*pid).context("the hypervisor runs")?;
    api.delete(&Key::new("default", name), &Delete::default()).await?;
    until(process::now(), "the end of the machine", || find_log(&nodes).is_none().then_some(())).await?;
    Ok((started - begun, line - begun))
}

/// Starts one bare QEMU and returns the seconds to the first line.
fn one_bare(log: &Path) -> Result<f64> {
    let begun = process::now();
    let _guest = Bare::start(log, MEMORY_MIB)?;
    loop {
        if std::fs::read_to_string(log).is_ok_and(|text| text.contains(FIRST_LINE)) {
            return Ok(process::now() - begun);
        }
        if process::now() - begun > PATIENCE {
            bail!("bare QEMU did not reach its first line in {PATIENCE} s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

async fn until<T>(begun: f64, what: &str, mut find: impl FnMut() -> Option<T>) -> Result<T> {
    loop {
        if let Some(found) = find() {
            return Ok(found);
        }
        if process::now() - begun > PATIENCE {
            bail!("waited {PATIENCE} s in vain for {what}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns the console log of the only machine that runs.
fn find_log(nodes: &Path) -> Option<PathBuf> {
    for node in std::fs::read_dir(nodes).ok()?.flatten() {
        for pod in std::fs::read_dir(node.path().join("kubelet/pods")).into_iter().flatten().flatten() {
            let log = pod.path().join("volumes/kubernetes.io~empty-dir/private/serial0.log");
            if log.exists() {
                return Some(log);
            }
        }
    }
    None
}
