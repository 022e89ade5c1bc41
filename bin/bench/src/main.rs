//! Measures the budgets of the project and prints them as a table and as JSON.
//!
//! Times on a shared machine say little by themselves: where a peer can stand beside us, both run in interleaved pairs
//! and the figure is the ratio with its interval.

mod adopt;
mod bare;
mod machine;
mod measure;
mod memory;
mod process;
mod report;
mod start;
mod streams;

use anyhow::{Context, Result};
use clap::Parser;

use crate::report::Report;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "bench", version, about = "Measures Ironclad's budgets")]
struct Arguments {
    /// Figures to take; all when none is named.
    #[arg(value_enum)]
    figures: Vec<Figure>,
    /// Interleaved pairs of machine starts.
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Machines that run at once for the figures of memory and adoption.
    #[arg(long, default_value_t = 20)]
    machines: usize,
    /// Objects in the store for the figure per object.
    #[arg(long, default_value_t = 2000)]
    objects: usize,
    /// Where to write the JSON; standard output when not given.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// Size of the programs.
    Size,
    /// Start of the control plane, and its memory when idle.
    Up,
    /// Start of a machine against bare QEMU.
    Start,
    /// Memory of many machines.
    Memory,
    /// Memory per stored machine object.
    Objects,
    /// Time until every status is right after everything was killed.
    Adopt,
    /// Consoles and ports against socat.
    Streams,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |figure| arguments.figures.is_empty() || arguments.figures.contains(&figure);
    let mut report = Report::default();
    if wanted(Figure::Size) {
        measure::sizes(&mut report)?;
    }
    if wanted(Figure::Up) {
        measure::control_plane(&mut report, arguments.pairs)?;
    }
    if wanted(Figure::Start) {
        start::against_bare(&mut report, arguments.pairs)?;
    }
    if wanted(Figure::Memory) {
        memory::of_machines(&mut report, arguments.machines)?;
    }
    if wanted(Figure::Objects) {
        memory::of_objects(&mut report, arguments.objects)?;
    }
    if wanted(Figure::Adopt) {
        adopt::after_a_massacre(&mut report, arguments.machines)?;
    }
    if wanted(Figure::Streams) {
        streams::against_socat(&mut report, arguments.pairs)?;
    }
    println!("{report}");
    let json = serde_json::to_string_pretty(&report)?;
    match arguments.json {
        Some(path) => std::fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?,
        None => println!("{json}"),
    }
    Ok(())
}
