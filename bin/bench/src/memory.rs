//! What machines and objects cost in memory.

use std::time::Duration;

use anyhow::{Context, Result};
use api::kubevirt::v1::VirtualMachine;
use kit::{Installation, Options, until};
use kube_ext::Api;

use crate::bare::Bare;
use crate::machine::{FIRST_LINE, MEMORY_MIB, manifest};
use crate::measure::pid;
use crate::process;
use crate::report::Report;

/// Measures shim and launcher, and the whole, with `count` machines running.
pub(crate) fn of_machines(report: &mut Report, count: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installation = Installation::start(Options::default());
    let client = runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")))?;
    let api = Api::<VirtualMachine>::new(&client);
    // In waves: guests that all boot at once starve each other, and some panic over timers that come late.
    let patience = Duration::from_secs(120);
    for wave in (0..count).collect::<Vec<_>>().chunks(4) {
        let names: Vec<_> = wave.iter().map(|number| format!("many-{number}")).collect();
        for name in &names {
            runtime.block_on(api.create("default", &manifest(name, "Always")))?;
        }
        for name in &names {
            until("every guest is up", patience, || {
                installation.console("default", name).contains(FIRST_LINE)
            });
        }
    }
    std::thread::sleep(Duration::from_secs(10));
    let data = installation.data_dir().display().to_string();
    let sum = |wanted: &dyn Fn(&str) -> bool| -> f64 {
        process::find(wanted).iter().filter_map(|(pid, _)| process::pss_mib(*pid)).sum()
    };
    let launchers = sum(&|line: &str| line.starts_with("/usr/bin/ironclad-launcher"));
    let hypervisors = sum(&|line: &str| line.contains("qemu-system") && line.contains("default_many-"));
    report.add(
        &format!("shim and launcher, PSS per machine, {count} running"),
        "MiB",
        launchers / count as f64,
        Some(4.0),
    );
    report.add(
        &format!("hypervisor, PSS per machine, {count} running"),
        "MiB",
        hypervisors / count as f64,
        None,
    );
    let own = pid(&installation)?;
    let control_plane = process::rss_mib(own).with_context(|| format!("the process of {data}"))?;
    report.add(&format!("ironclad up with {count} machines, RSS"), "MiB", control_plane, None);
    let all = launchers + hypervisors + process::pss_mib(own).unwrap_or_default();
    report.add(&format!("everything with {count} machines, PSS"), "MiB", all, None);
    drop(installation);

    let scratch = tempfile::tempdir()?;
    let bare: Vec<_> = (0..count.min(4))
        .map(|number| Bare::start(&scratch.path().join(number.to_string()), MEMORY_MIB))
        .collect::<Result<_>>()?;
    for number in 0..bare.len() {
        let log = scratch.path().join(number.to_string());
        until("bare guests are up", patience, || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains(FIRST_LINE))
        });
    }
    std::thread::sleep(Duration::from_secs(10));
    let total: f64 = bare.iter().filter_map(|guest| process::pss_mib(guest.pid())).sum();
    report.add("bare QEMU, PSS per machine", "MiB", total / bare.len() as f64, None);
    Ok(())
}

/// Measures what one stored, halted machine object adds to the control plane.
pub(crate) fn of_objects(report: &mut Report, count: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installation = Installation::start(Options { nodes: 0, images: false, ..Options::default() });
    let client = runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")))?;
    let api = Api::<VirtualMachine>::new(&client);
    let process = pid(&installation)?;
    let rss = || process::rss_mib(process).context("the control plane runs");
    runtime.block_on(api.create("default", &manifest("first", "Halted")))?;
    std::thread::sleep(Duration::from_secs(3));
    let before = rss()?;
    for number in 0..count {
        runtime.block_on(api.create("default", &manifest(&format!("object-{number}"), "Halted")))?;
    }
    std::thread::sleep(Duration::from_secs(10));
    let grown = (rss()? - before) * 1024.0 / count as f64;
    report.add(&format!("memory per halted machine object, {count} stored"), "KiB", grown, None);
    Ok(())
}
