//! Figures of the programs and of the control plane.

use std::time::Instant;

use anyhow::{Context, Result};
use kit::{Installation, Options};

use crate::process;
use crate::report::Report;

/// Sizes of the built programs.
pub(crate) fn sizes(report: &mut Report) -> Result<()> {
    for (name, budget) in [("ironclad", Some(45.0)), ("ironclad-launcher", None)] {
        let path = kit::program(name);
        let bytes = path.metadata().with_context(|| format!("reading {}", path.display()))?.len();
        report.add(&format!("size of {name}"), "MiB", bytes as f64 / f64::from(1 << 20), budget);
    }
    Ok(())
}

/// Time until the API is ready, and the memory of the idle process.
pub(crate) fn control_plane(report: &mut Report, repetitions: usize) -> Result<()> {
    let mut first = Vec::new();
    let mut again = Vec::new();
    let mut idle = Vec::new();
    for _ in 0..repetitions {
        let begun = Instant::now();
        let installation = Installation::start(Options { images: false, ..Options::default() });
        first.push(begun.elapsed().as_secs_f64());
        std::thread::sleep(std::time::Duration::from_secs(5));
        idle.push(process::rss_mib(pid(&installation)?).context("the process is there")?);
        installation.kill();
        let begun = Instant::now();
        installation.up();
        again.push(begun.elapsed().as_secs_f64());
    }
    report.add_samples("ironclad up to ready, empty data directory", "s", &first, Some(1.0));
    report.add_samples("ironclad up to ready, existing data directory", "s", &again, Some(1.0));
    report.add_samples("ironclad up, idle, RSS", "MiB", &idle, Some(60.0));
    Ok(())
}

/// Returns the process of an installation.
pub(crate) fn pid(installation: &Installation) -> Result<u32> {
    let path = installation.data_dir().join("run/ironclad.lock");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.trim().parse().with_context(|| format!("{} holds a process ID", path.display()))
}
