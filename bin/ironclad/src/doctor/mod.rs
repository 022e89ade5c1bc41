//! `ironclad doctor`: can this machine run virtual machines?
//!
//! Each line says what was found, what it means, and what to do where something is missing. Nothing that is found is
//! assumed: namespaces are made, networks are set up in them, a guest is timed.

mod hypervisor;

use std::io::IsTerminal as _;

use anyhow::{Context, Result, bail};
use host::Root;
use host::kvm::Verdict;
use host::probe::{self, Finding, Grade};
use serde_json::json;

use crate::accelerator;
use crate::cli::DoctorArgs;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::say::say;
use crate::up::node;

/// Checks the machine and prints the findings.
///
/// # Errors
/// When something is found without which no machine starts.
pub(crate) fn run(arguments: &DoctorArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    let findings = runtime.block_on(examine(&layout))?;
    if arguments.json {
        let list: Vec<_> = findings.iter().map(as_json).collect();
        say!("{}", serde_json::to_string_pretty(&list)?);
    } else {
        for finding in &findings {
            print(finding);
        }
    }
    let bad = findings.iter().filter(|finding| finding.grade == Grade::Bad).count();
    if bad > 0 {
        bail!("{bad} of {} checks failed; machines cannot run here until that is mended", findings.len());
    }
    Ok(())
}

async fn examine(layout: &Layout) -> Result<Vec<Finding>> {
    let helper = node::helper()?;
    let root = Root::default();
    // Probing must leave no trace where nothing is installed yet.
    let scratch = Scratch::new()?;
    let mut findings = vec![probe::processors(&root), accelerator(&accelerator::verdict(&helper).await)];
    findings.extend(hypervisor::examine().await);
    findings.push(probe::namespaces(&helper, scratch.path()));
    findings.extend(network::rights::probe(&helper, scratch.path()));
    findings.push(probe::control_groups(&root, "ironclad-doctor"));
    findings.push(probe::memory(&root));
    findings.push(probe::space(layout.root()));
    findings.push(installation(layout));
    Ok(findings)
}

/// Says whether something runs here already, so that nobody looks for machines elsewhere.
fn installation(layout: &Layout) -> Finding {
    let root = layout.root().display();
    match Instance::running(layout) {
        Some(pid) => Finding::good(
            "installation",
            format!("`ironclad up` runs on {root} (process {pid}); `ironclad status` shows its machines"),
        ),
        None if layout.database().exists() => Finding::good(
            "installation",
            format!("{root} has objects, and nothing runs; `ironclad up` starts it"),
        ),
        None => Finding::good("installation", format!("none on {root} yet; `ironclad up` makes one")),
    }
}

fn accelerator(verdict: &Verdict) -> Finding {
    match verdict {
        Verdict::Proven { .. } => {
            Finding::good("accelerator", format!("guests run at the processor's speed under KVM: {verdict}"))
        }
        _ => Finding::limited(
            "accelerator",
            format!("guests are emulated, several times slower, with nothing else missing: {verdict}"),
            format!("{}, or go on with emulation", verdict.remedy()),
        ),
    }
}

fn mark(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "ok",
        Grade::Limited => "limited",
        Grade::Bad => "FAILS",
    }
}

fn print(finding: &Finding) {
    let colour = match finding.grade {
        _ if !std::io::stdout().is_terminal() => None,
        Grade::Good => Some("32"),
        Grade::Limited => Some("33"),
        Grade::Bad => Some("31"),
    };
    let word = format!("{:<8}", mark(finding.grade));
    let word = colour.map_or_else(|| word.clone(), |colour| format!("\x1b[{colour}m{word}\x1b[0m"));
    say!("{word} {:<15} {}", finding.subject, finding.meaning);
    if !finding.remedy.is_empty() {
        say!("{:24} -> {}", "", finding.remedy);
    }
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "subject": finding.subject,
        "grade": mark(finding.grade).to_lowercase(),
        "meaning": finding.meaning,
        "remedy": finding.remedy,
    })
}

/// A directory that is gone afterwards.
#[derive(Debug)]
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ironclad-doctor-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from the directory for temporary files is removed with the rest of it.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
