//! Measures the budgets of the project and prints them as a table and as JSON.
//!
//! Times on a shared machine say little by themselves: where a peer can stand beside us, both run in interleaved pairs
//! and the figure is the ratio with its interval.

mod adopt;
mod api_server;
mod bare;
mod life;
mod machine;
mod measure;
mod memory;
mod network;
mod process;
mod report;
mod start;
mod streams;
mod together;
mod writes;

use anyhow::{Context, Result, bail};
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
    /// Machines that run on a simulated node for the figure per running machine.
    #[arg(long, default_value_t = 1000)]
    together: usize,
    /// ConfigMaps in the store for the figures of the API.
    #[arg(long, default_value_t = 100_000)]
    config_maps: usize,
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
    /// Start, stop and restart as users ask for them, against bare QEMU; processors at rest.
    Life,
    /// Memory of many machines.
    Memory,
    /// Memory per stored machine object.
    Objects,
    /// Memory of the control plane per machine that runs, with many on a simulated node.
    Together,
    /// API writes per start, stop and restart.
    Writes,
    /// Time until every status is right after everything was killed.
    Adopt,
    /// TCP and SSH through a machine's network against bare QEMU in the same kind of network.
    Network,
    /// Consoles and ports against socat.
    Streams,
    /// The API server and its store under load, against SQLite by itself; their memory and start with many objects.
    Api,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |figure| arguments.figures.is_empty() || arguments.figures.contains(&figure);
    let mut report = Report::default();
    let mut failed = Vec::new();
    let mut take = |figure: Figure, measure: &dyn Fn(&mut Report) -> Result<()>| {
        if !wanted(figure) {
            return;
        }
        // What one figure cannot have must not cost the hour that the others took.
        if let Err(error) = measure(&mut report) {
            eprintln!("{figure:?}: {error:#}");
            failed.push(format!("{figure:?}"));
        }
    };
    take(Figure::Size, &|report| measure::sizes(report));
    take(Figure::Up, &|report| measure::control_plane(report, arguments.pairs));
    take(Figure::Start, &|report| start::against_bare(report, arguments.pairs));
    take(Figure::Life, &|report| {
        life::against_bare(report, arguments.pairs)?;
        life::at_rest(report)
    });
    take(Figure::Memory, &|report| memory::of_machines(report, arguments.machines));
    take(Figure::Objects, &|report| memory::of_objects(report, arguments.objects));
    take(Figure::Together, &|report| together::of_running(report, arguments.together));
    take(Figure::Writes, &|report| writes::of_a_life(report));
    take(Figure::Adopt, &|report| adopt::after_a_massacre(report, arguments.machines));
    take(Figure::Network, &|report| network::against_bare(report, arguments.pairs));
    take(Figure::Streams, &|report| streams::against_socat(report, arguments.pairs));
    take(Figure::Api, &|report| api_server::under_load(report, arguments.config_maps, arguments.pairs));
    println!("{report}");
    let json = serde_json::to_string_pretty(&report)?;
    match arguments.json {
        Some(path) => std::fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?,
        None => println!("{json}"),
    }
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(())
}
