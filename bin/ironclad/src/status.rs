//! `ironclad status`: what runs, and what is wrong, at a glance.

use anyhow::{Context, Result, bail};
use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, Client, Key, Kind as _, Select};

use crate::cli::StatusArgs;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::table;

/// Prints the control plane, the nodes, the machines, and every condition that explains a problem.
///
/// # Errors
/// When nothing runs or the API does not answer.
pub(crate) fn run(arguments: &StatusArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    let Some(pid) = Instance::running(&layout) else {
        bail!("nothing runs on {}; start it by `ironclad up`", layout.root().display());
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    runtime.block_on(async {
        let client = kube_ext::connect(&layout.kubeconfig()).await?;
        let picture = Picture::take(&client).await.with_context(|| {
            format!("process {pid} runs but its API does not answer; look into {}", layout.logs().display())
        })?;
        if !arguments.quiet {
            println!(
                "control plane: running (process {pid}{}), data in {}",
                memory(pid),
                layout.root().display()
            );
            println!("kubeconfig:    {}\n", layout.kubeconfig().display());
            picture.print();
        }
        Ok(())
    })
}

/// Resident memory of a process, as a phrase.
fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    resident.map_or_else(String::new, |kib: u64| format!(", {} MiB", kib / 1024))
}

/// What the API says at one moment.
#[derive(Debug)]
struct Picture {
    nodes: Vec<Node>,
    machines: Vec<VirtualMachine>,
    instances: Vec<VirtualMachineInstance>,
}

impl Picture {
    async fn take(client: &Client) -> Result<Self> {
        let all = Select::default();
        Ok(Self {
            nodes: Api::new(client).list(&all).await?,
            machines: Api::new(client).list(&all).await?,
            instances: Api::new(client).list(&all).await?,
        })
    }

    fn print(&self) {
        let nodes: Vec<_> = self.nodes.iter().map(node_row).collect();
        if nodes.is_empty() {
            println!("no nodes: this control plane has no agent, and machines stay unscheduled\n");
        } else {
            println!("{}", table::format(&["NODE", "READY", "ADDRESS", "CPU", "MEMORY"], &nodes));
        }
        let machines: Vec<_> = self.machines.iter().map(|machine| self.machine_row(machine)).collect();
        if machines.is_empty() {
            println!("no virtual machines yet: kubectl apply -f examples/hello.yaml");
        } else {
            let header = ["NAMESPACE", "VIRTUAL MACHINE", "STATUS", "NODE", "ADDRESSES", "MEMORY"];
            print!("{}", table::format(&header, &machines));
        }
        let problems: Vec<_> = self.problems().collect();
        if !problems.is_empty() {
            println!("\nwhat is wrong:");
            for problem in problems {
                println!("  {problem}");
            }
        }
    }

    fn instance(&self, key: &Key) -> Option<&VirtualMachineInstance> {
        self.instances
            .iter()
            .find(|instance| instance.name() == key.name && instance.namespace() == key.namespace)
    }

    fn machine_row(&self, machine: &VirtualMachine) -> Vec<String> {
        let key = Key::new(machine.namespace(), machine.name());
        let status =
            machine.status.as_ref().and_then(|status| status.printable_status.clone()).unwrap_or_default();
        let instance = self.instance(&key).and_then(|instance| instance.status.as_ref());
        let addresses: Vec<_> = instance
            .into_iter()
            .flat_map(|status| status.interfaces.iter())
            .filter_map(|interface| interface.ip_address.clone())
            .collect();
        let memory =
            instance.and_then(|status| status.memory.as_ref()?.guest_current.as_ref().map(|q| q.0.clone()));
        vec![
            key.namespace,
            key.name,
            status,
            instance.and_then(|status| status.node_name.clone()).unwrap_or_default(),
            addresses.join(","),
            memory.unwrap_or_default(),
        ]
    }

    /// One line for each condition that is not as it should be and says why.
    fn problems(&self) -> impl Iterator<Item = String> {
        self.instances.iter().flat_map(|instance| {
            let key = format!("{}/{}", instance.namespace(), instance.name());
            let conditions = instance.status.iter().flat_map(|status| status.conditions.iter());
            conditions.filter_map(move |condition| {
                let message = condition.message.as_deref().filter(|message| !message.is_empty())?;
                let wrong = condition.status == "False"
                    && ["Synchronized", "PodScheduled", "Provisioning"].contains(&condition.type_.as_str());
                wrong.then(|| format!("{key}: {message}"))
            })
        })
    }
}

fn node_row(node: &Node) -> Vec<String> {
    let status = node.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Ready"))
        .map_or_else(|| "unknown".to_owned(), |condition| condition.status.clone());
    let address = status.and_then(|status| Some(status.addresses.as_ref()?.first()?.address.clone()));
    let capacity = |resource: &str| {
        status.and_then(|status| Some(status.capacity.as_ref()?.get(resource)?.0.clone())).unwrap_or_default()
    };
    vec![node.name().to_owned(), ready, address.unwrap_or_default(), capacity("cpu"), capacity("memory")]
}
