//! A machine's life as a user asks for it: start, stop, restart, each against bare QEMU told the same by hand; and what
//! all of ours costs while nothing happens.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use kit::{Installation, Options, until};
use kube_ext::{Api, Client, Key, Kind as _, Select};
use serde_json::json;

use crate::bare::Bare;
use crate::machine::{FIRST_LINE, MEMORY_MIB, idle, manifest};
use crate::measure::pid;
use crate::process;
use crate::report::Report;

/// A guest under emulation on a busy machine.
const PATIENCE: f64 = 120.0;
/// What the guest prints when it hears its power button.
const READY: &str = "guest: ready";
/// How long processors are watched for the figures of idleness.
const WINDOW: Duration = Duration::from_secs(30);
/// Machines that run meanwhile.
const IDLE_MACHINES: usize = 20;
/// Name of the measured machine.
const NAME: &str = "life";

/// Seconds of one round, ours and the peer's.
#[derive(Debug, Default)]
struct Rounds {
    running: Vec<f64>,
    line: Vec<f64>,
    stop: Vec<f64>,
    force: Vec<f64>,
    restart: Vec<f64>,
}

/// Measures start, stop and restart by the subresources against the same by QMP, in interleaved rounds.
pub(crate) fn against_bare(report: &mut Report, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installation = Installation::start(Options::default());
    let client = runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")))?;
    let mut machine = manifest(NAME, "Halted");
    machine["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(60);
    runtime.block_on(Api::<VirtualMachine>::new(&client).create("default", &machine))?;
    let ours = Ours { client, installation: &installation };
    let scratch = tempfile::tempdir().context("a directory for logs")?;
    let (mut mine, mut bare) = (Rounds::default(), Rounds::default());
    // The first round unpacks images and warms caches for both.
    runtime.block_on(ours.round(&mut Rounds::default()))?;
    bare_round(scratch.path(), &mut Rounds::default())?;
    for round in 0..rounds {
        // Who goes first alternates, so that drift of the machine favours neither.
        if round % 2 == 0 {
            runtime.block_on(ours.round(&mut mine))?;
            bare_round(scratch.path(), &mut bare)?;
        } else {
            bare_round(scratch.path(), &mut bare)?;
            runtime.block_on(ours.round(&mut mine))?;
        }
    }
    report.add_samples("start to Running", "s", &mine.running, None);
    for (what, ours, peer) in [
        ("start to first userspace line", &mine.line, &bare.line),
        ("stop, guest that heeds its power button", &mine.stop, &bare.stop),
        ("stop, forced", &mine.force, &bare.force),
        ("restart to first userspace line", &mine.restart, &bare.restart),
    ] {
        report.add_samples(what, "s", ours, None);
        report.add_samples(&format!("{what}, bare QEMU"), "s", peer, None);
        let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
        report.add_samples(&format!("{what} against bare QEMU"), "ratio", &ratios, None);
    }
    Ok(())
}

/// Measures the processor time of the control plane, the agent and the launchers, without machines and with many.
pub(crate) fn at_rest(report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let client = runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")))?;
    let own = pid(&installation)?;
    std::thread::sleep(Duration::from_secs(10));
    report.add("processor, at rest, no machines", "% of a core", percent(|| vec![own]), None);
    let api = Api::<VirtualMachine>::new(&client);
    for number in 0..IDLE_MACHINES {
        runtime.block_on(api.create("default", &idle(&format!("rest-{number:02}"))))?;
    }
    let instances = Api::<VirtualMachineInstance>::new(&client);
    until("every machine runs", Duration::from_secs(120), || {
        let found = runtime.block_on(instances.list(&Select::default())).unwrap_or_default();
        found.len() == IDLE_MACHINES && found.iter().all(|instance| phase(instance) == "Running")
    });
    std::thread::sleep(Duration::from_secs(20));
    let launchers = || {
        process::find(|line| line.starts_with("/usr/bin/ironclad-launcher")).into_iter().map(|(pid, _)| pid)
    };
    let all = || std::iter::once(own).chain(launchers()).collect();
    let name = format!("processor, at rest, {IDLE_MACHINES} machines, all of ours");
    report.add(&name, "% of a core", percent(all), None);
    let name = format!("processor, at rest, {IDLE_MACHINES} machines, launchers alone");
    report.add(&name, "% of a core", percent(|| launchers().collect()), None);
    Ok(())
}

/// Returns the share of a core that the processes use over the window.
fn percent(processes: impl Fn() -> Vec<u32>) -> f64 {
    let processes = processes();
    let used = || processes.iter().filter_map(|pid| process::cpu_seconds(*pid)).sum::<f64>();
    let (before, begun) = (used(), process::now());
    std::thread::sleep(WINDOW);
    (used() - before) / (process::now() - begun) * 100.0
}

/// The machine under our control plane.
struct Ours<'a> {
    client: Client,
    installation: &'a Installation,
}

impl Ours<'_> {
    /// Starts, restarts, stops, starts again and stops by force.
    async fn round(&self, rounds: &mut Rounds) -> Result<()> {
        let begun = process::now();
        self.ask("start", "{}").await?;
        let first = self.running(begun, "").await?;
        rounds.running.push(process::now() - begun);
        self.printed(begun, FIRST_LINE).await?;
        rounds.line.push(process::now() - begun);
        self.printed(begun, READY).await?;

        let begun = process::now();
        self.ask("restart", "{}").await?;
        self.running(begun, &first).await?;
        self.printed(begun, FIRST_LINE).await?;
        rounds.restart.push(process::now() - begun);
        self.printed(begun, READY).await?;
        rounds.stop.push(self.stop("{}").await?);

        let begun = process::now();
        self.ask("start", "{}").await?;
        self.running(begun, "").await?;
        self.printed(begun, FIRST_LINE).await?;
        rounds.force.push(self.stop(r#"{"gracePeriod":0}"#).await?);
        Ok(())
    }

    async fn ask(&self, what: &str, body: &'static str) -> Result<()> {
        let path =
            format!("/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{NAME}/{what}");
        let request = http::Request::put(path).header("Content-Type", "application/json");
        let request = request.body(body.as_bytes().to_vec())?;
        self.client.request_text(request).await.with_context(|| format!("asking for {what}"))?;
        Ok(())
    }

    /// Waits until an instance other than `before` runs, and returns its identity.
    async fn running(&self, begun: f64, before: &str) -> Result<String> {
        let api = Api::<VirtualMachineInstance>::new(&self.client);
        loop {
            if let Some(found) = api.find(&Key::new("default", NAME)).await?
                && found.uid() != before
                && phase(&found) == "Running"
            {
                return Ok(found.uid().to_owned());
            }
            pause(begun, "the machine runs").await?;
        }
    }

    async fn printed(&self, begun: f64, line: &str) -> Result<()> {
        while !self.installation.data_dir().join("nodes").read_dir()?.flatten().any(|node| {
            let pods = node.path().join("kubelet/pods").read_dir().into_iter().flatten().flatten();
            let mut logs =
                pods.map(|pod| pod.path().join("volumes/kubernetes.io~empty-dir/private/serial0.log"));
            logs.any(|log| std::fs::read_to_string(log).is_ok_and(|text| text.contains(line)))
        }) {
            pause(begun, line).await?;
        }
        Ok(())
    }

    /// Stops the machine and returns the seconds until its status says so.
    async fn stop(&self, body: &'static str) -> Result<f64> {
        let api = Api::<VirtualMachine>::new(&self.client);
        let begun = process::now();
        self.ask("stop", body).await?;
        loop {
            let found = api.get(&Key::new("default", NAME)).await?;
            let word = found.status.and_then(|status| status.printable_status);
            if word.as_deref() == Some("Stopped") {
                return Ok(process::now() - begun);
            }
            pause(begun, "the machine is stopped").await?;
        }
    }
}

/// The same with bare QEMU.
fn bare_round(scratch: &Path, rounds: &mut Rounds) -> Result<()> {
    let (log, control) = (scratch.join("console"), scratch.join("control"));
    let begun = process::now();
    let guest = Bare::start_controlled(&log, &control, MEMORY_MIB)?;
    line(&log, begun, FIRST_LINE)?;
    rounds.line.push(process::now() - begun);
    line(&log, begun, READY)?;

    let begun = process::now();
    let stop = guest.end(&control, "system_powerdown")?;
    rounds.stop.push(stop);
    let guest = Bare::start_controlled(&log, &control, MEMORY_MIB)?;
    line(&log, begun, FIRST_LINE)?;
    rounds.restart.push(process::now() - begun);
    rounds.force.push(guest.end(&control, "quit")?);
    Ok(())
}

fn line(log: &Path, begun: f64, wanted: &str) -> Result<()> {
    while !std::fs::read_to_string(log).is_ok_and(|text| text.contains(wanted)) {
        if process::now() - begun > PATIENCE {
            bail!("bare QEMU did not print {wanted:?} in {PATIENCE} s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

async fn pause(begun: f64, what: &str) -> Result<()> {
    if process::now() - begun > PATIENCE {
        bail!("waited {PATIENCE} s in vain: {what}");
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(())
}

fn phase(instance: &VirtualMachineInstance) -> &str {
    instance.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}
