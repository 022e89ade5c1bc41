//! `virtctl top`

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Format;
use crate::age;
use crate::api::Api;
use crate::fleet::usage::{COLUMNS, Metrics, Usage, disks};
use crate::fleet::{Choice, Row, bytes};
use crate::say::{self, say};
use crate::session::Session;
use crate::table::Table;

/// Machines whose agents are asked; of more, a screen shows no more.
const ASKED: usize = 50;

/// Show what running virtual machines use: processors, memory and disks.
///
/// Processors and memory are those of the launcher Pods, by the metrics API (metrics.k8s.io); disks are what guest agents tell
/// of their filesystems. On a terminal it goes on until Ctrl+C; elsewhere, and with --once, it prints once.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl top [VM]... [flags]",
    after_help = "Examples:\n  # The machines of this namespace, live:\n  virtctl top\n\n  # Of all namespaces, those that use most memory first, every five seconds:\n  virtctl top --all-namespaces --sort=memory --interval=5\n\n  # Once, for a script:\n  virtctl top --output json | jq '.items[] | {name, usage}'"
)]
pub(crate) struct Top {
    #[arg(hide = true, value_name = "VM")]
    names: Vec<String>,
    /// Machines of all namespaces.
    #[arg(long, short = 'A', action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    all_namespaces: bool,
    /// Labels that machines must have, for example app=web,stage!=test.
    #[arg(long, short = 'l', default_value = "", value_name = "selector")]
    selector: String,
    /// What comes first: cpu, memory or name.
    #[arg(long, value_enum, default_value = "cpu", value_name = "string")]
    sort: Sort,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "seconds")]
    interval: u64,
    /// Print once, on a terminal, too.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    once: bool,
    /// Format: json or yaml [default: columns]; prints once.
    #[arg(long, short, value_name = "string")]
    output: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Cpu,
    Memory,
    Name,
}

/// What is seen at one moment.
struct View {
    rows: Vec<(Row, Usage)>,
    /// How many machines do not run.
    off: usize,
    missing: Option<String>,
}

impl Top {
    /// Runs the command.
    ///
    /// # Errors
    /// When a named machine does not exist, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let format = Format::chosen(self.output.as_deref())?;
        let api = session.api().await?;
        let choice = Choice {
            namespace: (!self.all_namespaces).then(|| api.namespace.clone()),
            selector: self.selector.clone(),
            names: self.names.clone(),
        };
        let view = self.look(api, &choice).await?;
        if let Some(format) = format {
            return say::document(format.document(&view.document()).as_bytes());
        }
        if self.once || !std::io::stdout().is_terminal() {
            self.print(&view, age::now());
            return Ok(());
        }
        let live = async {
            let mut view = view;
            loop {
                // From the upper left corner, over what was there, and nothing below it.
                say::part(format_args!("\x1b[H\x1b[2J"));
                say!("{}\n", view.summary());
                self.print(&view, age::now());
                tokio::time::sleep(Duration::from_secs(self.interval)).await;
                match self.look(api, &choice).await {
                    Ok(seen) => view = seen,
                    // A server that is away for a moment is no reason to look away.
                    Err(error) => view.missing = Some(error.to_string()),
                }
            }
        };
        tokio::select! {
            () = live => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(())
    }

    async fn look(&self, api: &Api, choice: &Choice) -> Result<View> {
        let fleet = choice.read(api).await?;
        let all = choice.rows(&fleet);
        if let Some(missing) = self.names.iter().find(|name| !all.iter().any(|row| &row.name == *name)) {
            bail!("virtualmachines.kubevirt.io \"{missing}\" not found");
        }
        let count = all.len();
        let metrics = Metrics::read(api, choice).await;
        let running = all.into_iter().filter(|row| row.instance == "Running");
        let used = |row: Row| {
            let usage = metrics.of(&row, fleet.instance(&row));
            (row, usage)
        };
        let mut rows: Vec<(Row, Usage)> = running.map(used).collect();
        let off = count - rows.len();
        sort(&mut rows, self.sort);
        let asked: Vec<Row> = rows.iter().take(ASKED).map(|(row, _)| row.clone()).collect();
        for ((_, usage), disk) in rows.iter_mut().zip(disks(api, &fleet, &asked).await) {
            usage.disk = disk;
        }
        Ok(View { rows, off, missing: metrics.missing().map(str::to_owned) })
    }

    fn print(&self, view: &View, now: Timestamp) {
        let namespace = self.all_namespaces.then_some("NAMESPACE");
        let header = namespace.into_iter().chain(["NAME"]).chain(COLUMNS).chain(["UPTIME", "NODE"]);
        let mut lines = vec![header.map(str::to_owned).collect::<Vec<_>>()];
        for (row, usage) in &view.rows {
            let since = row.since.map(|since| age::since(since, now)).unwrap_or_default();
            let namespace = self.all_namespaces.then(|| row.namespace.clone());
            let mut line: Vec<String> = namespace.into_iter().chain([row.name.clone()]).collect();
            line.extend(usage.cells(row));
            line.extend([since, row.node.clone()]);
            lines.push(line);
        }
        if view.rows.is_empty() {
            eprintln!("No virtual machine runs here; `virtctl list` shows all.");
        } else {
            let table = Table::for_lines(&lines);
            for line in &lines {
                say!("{}", table.line(line));
            }
        }
        if let Some(missing) = &view.missing {
            eprintln!("{missing}");
        }
    }
}

/// Sorts by what is used, the most first; equals, and those of whom nothing is known, by name.
fn sort(rows: &mut [(Row, Usage)], by: Sort) {
    let used = |usage: &Usage| match by {
        Sort::Cpu => usage.cpu_milli.unwrap_or(-1.0),
        Sort::Memory => usage.memory.map_or(-1.0, |memory| memory as f64),
        Sort::Name => 0.0,
    };
    rows.sort_by(|(one, first), (other, second)| {
        let names = || (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name));
        used(second).total_cmp(&used(first)).then_with(names)
    });
}

impl View {
    fn summary(&self) -> String {
        let cpu: f64 = self.rows.iter().filter_map(|(_, usage)| usage.cpu_milli).sum();
        let memory: u64 = self.rows.iter().filter_map(|(_, usage)| usage.memory).sum();
        let known = self.rows.iter().any(|(_, usage)| usage.cpu_milli.is_some());
        let used = if known {
            format!("; {:.2} processors and {} of memory in use", cpu / 1000.0, bytes(memory))
        } else {
            String::new()
        };
        format!("{} machines run, {} do not{used}", self.rows.len(), self.off)
    }

    fn document(&self) -> Value {
        let items = self.rows.iter().map(|(row, usage)| {
            let mut item = row.document();
            item["usage"] = usage.document();
            item
        });
        json!({"items": items.collect::<Vec<_>>(), "missing": self.missing})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_use_most_come_first() {
        let row = |name: &str, cpu: Option<f64>, memory: Option<u64>| {
            let mut row = Row::default();
            name.clone_into(&mut row.name);
            (row, Usage { cpu_milli: cpu, memory, disk: None })
        };
        let mut rows = vec![
            row("a", None, None),
            row("c", Some(5.0), Some(1 << 20)),
            row("b", Some(1500.0), Some(1 << 10)),
        ];
        let mut order = |by| {
            sort(&mut rows, by);
            rows.iter().map(|(row, _)| row.name.clone()).collect::<String>()
        };
        assert_eq!(
            (order(Sort::Cpu), order(Sort::Memory), order(Sort::Name)),
            ("bca".into(), "cba".into(), "abc".into())
        );
        let view = View { rows, off: 2, missing: None };
        assert_eq!(view.summary(), "3 machines run, 2 do not; 1.50 processors and 1Mi of memory in use");
        let nobody = View { rows: vec![row("a", None, None)], off: 0, missing: None };
        assert_eq!(nobody.summary(), "1 machines run, 0 do not");
    }
}
