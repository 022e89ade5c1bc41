//! `ironclad status`: what runs, and what is wrong, at a glance.

pub(crate) mod footprint;
mod problems;
mod rows;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, Client, Select};
use kubelet::record::Record;
use plan::room::{self, Room};

use self::rows::MachineRow;
use crate::cli::{StatusArgs, StatusOutput};
use crate::instance::Instance;
use crate::layout::Layout;
use crate::say::{self, say};
use crate::table;

/// From how many machines on they are counted too.
const MANY: usize = 5;

/// Prints the control plane, the nodes, the machines, and everything that is wrong.
///
/// # Errors
/// When nothing runs or the API does not answer.
pub(crate) fn run(arguments: &StatusArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    let Some(pid) = Instance::running(&layout) else {
        let pods = local_pods(&layout);
        let left = pods.values().filter(|pid| footprint::of(**pid).is_some()).count();
        let guests = if left > 0 { format!("; {left} guests go on without it") } else { String::new() };
        bail!("nothing runs on {}{guests}; start it by `ironclad up`", layout.root().display());
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    runtime.block_on(async {
        let client = kube_ext::connect(&layout.kubeconfig()).await?;
        let picture = Picture::take(&client, &layout).await.with_context(|| {
            format!("process {pid} runs but its API does not answer; look into {}", layout.logs().display())
        })?;
        if !arguments.quiet {
            if arguments.output == StatusOutput::Json {
                say!("{}", serde_json::to_string_pretty(&picture.document(pid, &layout))?);
                return Ok(());
            }
            let memory = footprint::of_one(pid).map(|kib| format!(", {} MiB", kib / 1024));
            let memory = memory.unwrap_or_default();
            say!("control plane: running (process {pid}{memory}), data in {}", layout.root().display());
            say!("kubeconfig:    {}\n", layout.kubeconfig().display());
            picture.print();
        }
        Ok(())
    })
}

/// Returns the first process of every Pod on this machine, by the Pod's UID.
fn local_pods(layout: &Layout) -> BTreeMap<String, i32> {
    let nodes = std::fs::read_dir(layout.nodes()).into_iter().flatten().flatten();
    let records = nodes.flat_map(|node| Record::all(&pods(&node.path())));
    records
        .filter_map(|(uid, record)| {
            let record = record.filter(|record| record.end.is_none())?;
            Some((uid, record.process?.pid))
        })
        .collect()
}

fn pods(node: &Path) -> std::path::PathBuf {
    node.join("kubelet/pods")
}

/// Returns how many characters a line of the terminal has; output that goes elsewhere has no limit.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(usize::MAX)
}

/// Counts words, the most frequent first.
fn summary(machines: &[MachineRow]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in machines {
        *counts.entry(machine.status.as_str()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), *word));
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    format!("{} virtual machines: {}", machines.len(), words.join(", "))
}

/// What the API and this machine say at one moment.
#[derive(Debug)]
struct Picture {
    nodes: Vec<Node>,
    machines: Vec<VirtualMachine>,
    instances: Vec<VirtualMachineInstance>,
    /// First processes of Pods, by UID.
    pods: BTreeMap<String, i32>,
    /// Room for everything that the installation writes. A full disk may keep the conditions that tell of it from being stored.
    room: Option<Room>,
    /// Whether agents of this installation run here, registered or not.
    has_agents: bool,
}

impl Picture {
    async fn take(client: &Client, layout: &Layout) -> Result<Self> {
        let all = Select::default();
        Ok(Self {
            nodes: Api::new(client).list(&all).await?,
            machines: Api::new(client).list(&all).await?,
            instances: Api::new(client).list(&all).await?,
            pods: local_pods(layout),
            room: host::space::measure(layout.root()).ok().map(|space| Room {
                mount: space.mount.display().to_string(),
                free: space.free,
                needed: room::NEEDED,
            }),
            has_agents: layout.nodes().is_dir(),
        })
    }

    fn print(&self) {
        if self.nodes.is_empty() && self.has_agents {
            say!("no nodes yet: the agent is starting\n");
        } else if self.nodes.is_empty() {
            say!("no nodes: this control plane has no agent, and machines stay unscheduled\n");
        } else {
            let nodes: Vec<_> = self.nodes.iter().map(|node| rows::node(node).cells()).collect();
            say!("{}", table::format(&rows::NODE, &nodes));
        }
        let machines = self.rows();
        if machines.is_empty() {
            say!("no virtual machines yet: kubectl apply -f examples/hello.yaml");
        } else {
            let cells: Vec<_> = machines.iter().map(MachineRow::cells).collect();
            say::text(table::fit(&rows::MACHINE, &cells, &rows::DISPENSABLE, width()).as_bytes());
            if machines.len() >= MANY {
                say!("{}", summary(&machines));
            }
        }
        let mut problems = problems::of(&self.nodes, &self.machines, &self.instances);
        problems.extend(self.room.as_ref().filter(|room| room.is_short()).map(ToString::to_string));
        if problems.is_empty() {
            say!("\nnothing is wrong");
        } else {
            say!("\nwhat is wrong:");
            for problem in problems {
                say!("  {problem}");
            }
        }
    }

    fn rows(&self) -> Vec<MachineRow> {
        rows::machines(&self.machines, &self.instances, &|instance| self.held(instance))
    }

    /// What programs read. Amounts are quantities, as in the API.
    fn document(&self, pid: u32, layout: &Layout) -> serde_json::Value {
        serde_json::json!({
            "controlPlane": {
                "process": pid,
                "memory": footprint::of_one(pid).map(|kib| format!("{kib}Ki")),
                "dataDirectory": layout.root(),
                "kubeconfig": layout.kubeconfig(),
            },
            "nodes": self.nodes.iter().map(rows::node).collect::<Vec<_>>(),
            "virtualMachines": self.rows(),
            "problems": problems::of(&self.nodes, &self.machines, &self.instances),
        })
    }

    /// Memory that the processes of an instance's Pods hold on this machine, in KiB.
    fn held(&self, instance: &VirtualMachineInstance) -> Option<u64> {
        let pods = instance.status.iter().flat_map(|status| status.active_pods.keys());
        let held: Vec<_> = pods.filter_map(|uid| footprint::of(*self.pods.get(uid)?)).collect();
        (!held.is_empty()).then(|| held.iter().sum())
    }
}
