//! How long it takes until every status is right again after everything of ours was killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use kit::{Installation, Options, Processes, kill};
use kube_ext::{Api, Client, Kind as _, Select};

use crate::machine::idle;
use crate::report::Report;

const PATIENCE: Duration = Duration::from_secs(120);

/// Starts `count` machines; kills the control plane, the agent and every launcher, and the hypervisor of every other
/// machine, so that half of the statuses are wrong; measures from `ironclad up` until all are right.
pub(crate) fn after_a_massacre(report: &mut Report, count: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let client = || runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")));
    let before = client()?;
    let api = Api::<VirtualMachine>::new(&before);
    for number in 0..count {
        runtime.block_on(api.create("default", &idle(&format!("idle-{number:03}"))))?;
    }
    let begun = Instant::now();
    let running = loop {
        let instances = runtime.block_on(instances(&before))?;
        if instances.len() == count && instances.iter().all(runs) {
            break instances;
        }
        ensure!(begun.elapsed() < PATIENCE, "{count} machines did not run within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let processes = running.iter().map(|instance| {
        Processes::of(instance.uid()).with_context(|| format!("the Pod of {} runs", instance.name()))
    });
    let processes = processes.collect::<Result<Vec<_>>>()?;
    installation.kill();
    for (number, processes) in processes.iter().enumerate() {
        if !number.is_multiple_of(2) {
            kill(processes.hypervisor().context("its hypervisor runs")?);
        }
        kill(processes.launcher().context("its launcher runs")?);
    }
    let begun = Instant::now();
    installation.up();
    let ready = begun.elapsed();
    let after = client()?;
    let right = loop {
        let found = runtime.block_on(instances(&after))?;
        let all = running.iter().enumerate().all(|(number, before)| {
            let now = found.iter().find(|now| now.uid() == before.uid());
            // A launcher that is not there yet has nobody to be adopted by.
            let driven = || processes[number].launcher().is_some();
            now.is_some_and(|now| {
                if number.is_multiple_of(2) { runs(now) && driven() } else { phase(now) == "Failed" }
            })
        });
        if all {
            break begun.elapsed();
        }
        ensure!(begun.elapsed() < PATIENCE, "statuses were not right within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    report.add(
        &format!("after kill -9 of everything: API ready, {count} machines"),
        "s",
        ready.as_secs_f64(),
        Some(1.0),
    );
    report.add(
        &format!("after kill -9 of everything: all statuses right, {count} machines"),
        "s",
        right.as_secs_f64(),
        Some(2.0),
    );
    Ok(())
}

async fn instances(client: &Client) -> Result<Vec<VirtualMachineInstance>> {
    let mut instances = Api::<VirtualMachineInstance>::new(client).list(&Select::default()).await?;
    instances.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(instances)
}

fn phase(instance: &VirtualMachineInstance) -> &str {
    instance.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn runs(instance: &VirtualMachineInstance) -> bool {
    let conditions = instance.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    phase(instance) == "Running" && ready.any(|condition| condition.status == "True")
}
