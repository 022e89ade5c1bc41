//! `ironclad demo`: applies a machine and follows it, stage by stage, until its guest greets.

mod greeting;
mod stages;

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube_ext::Client;

use crate::cli::DemoArgs;
use crate::layout::Layout;
use stages::{Machine, Stage};

/// Time between two looks at the machine.
const PAUSE: Duration = Duration::from_millis(25);

/// Applies the manifest, follows the machine and prints the guest's own words.
///
/// # Errors
/// When the API does not answer, the manifest is refused, or the guest has not greeted in time; the message says
/// which stage was not reached and what the machine's conditions say about it.
pub(crate) fn run(arguments: &DemoArgs) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    runtime.block_on(follow(arguments))
}

async fn follow(arguments: &DemoArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    let client = kube_ext::connect(&layout.kubeconfig()).await?;
    let text = std::fs::read_to_string(&arguments.manifest)
        .with_context(|| format!("reading {}", arguments.manifest.display()))?;
    let greeting = greeting::make_up(&effects::SystemEntropy);
    let machine = Machine::from_manifest(&text.replace("GREETING", &greeting))?;

    machine.remove_if_present(&client, Duration::from_secs(60)).await?;
    println!("applying VirtualMachine {} with a greeting made up just now", machine.name());
    let begun = Instant::now();
    machine.apply(&client).await?;
    let mut last = begun;
    let mut shown = Shown::default();
    for stage in Stage::ALL {
        let evidence = reach(&client, &machine, *stage, &greeting, begun, arguments, &mut shown).await?;
        shown.clear();
        let (total, step) = (begun.elapsed(), last.elapsed());
        last = Instant::now();
        println!(
            "  {:<11} {:>8.3} s  (+{:.3} s)  {evidence}",
            stage.to_string(),
            total.as_secs_f64(),
            step.as_secs_f64()
        );
    }
    let console = machine.console(&client).await?;
    let said = console.lines().find(|line| line.contains(&greeting)).unwrap_or_default();
    println!("\nthe guest says on its serial console:\n\n    {}\n", said.trim());
    println!("{} is running. Try next:", machine.name());
    println!("  export KUBECONFIG={}", layout.kubeconfig().display());
    println!("  kubectl get vm,vmi,pods -o wide");
    println!("  kubectl describe vmi {}", machine.name());
    println!("  kubectl logs -l vmi.kubevirt.io/id={} -c guest-console-log", machine.name());
    println!("  kubectl explain vm.spec.runStrategy");
    println!("  {} status", std::env::args().next().unwrap_or_else(|| "ironclad".to_owned()));
    Ok(())
}

/// Waits until `stage` is reached and returns what shows it.
async fn reach(
    client: &Client,
    machine: &Machine,
    stage: Stage,
    greeting: &str,
    begun: Instant,
    arguments: &DemoArgs,
    shown: &mut Shown,
) -> Result<String> {
    use effects::Clock as _;
    loop {
        if let Some(evidence) = stage.evidence(client, machine, greeting).await? {
            return Ok(evidence);
        }
        if begun.elapsed() > Duration::from_secs(arguments.timeout) {
            shown.clear();
            let why = machine.conditions(client).await.unwrap_or_default();
            bail!(
                "stage \"{stage}\" was not reached within {} s; the machine says:\n{why}",
                arguments.timeout
            );
        }
        shown.progress(&format!("  {:<11} {:>8.1} s ...", stage.to_string(), begun.elapsed().as_secs_f64()));
        effects::SystemClock.sleep(PAUSE).await;
    }
}

/// The line that is being rewritten on a terminal.
#[derive(Debug, Default)]
struct Shown(bool);

impl Shown {
    fn progress(&mut self, line: &str) {
        let mut out = std::io::stdout();
        if out.is_terminal() {
            self.0 = true;
            // Progress is decoration: a closed terminal must not end the demo.
            drop(write!(out, "\r{line}").and_then(|()| out.flush()));
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.0) {
            print!("\r\x1b[2K");
        }
    }
}
