//! The stages of a machine's start, and what shows that each was reached.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use effects::Clock as _;
use k8s_openapi::api::core::v1::Pod;
use kube_ext::{Api, Client, Delete, Key, Patch, Propagation, Select, container_log};
use serde_json::Value;

/// Container of the launcher Pod whose log is the guest's serial console.
const CONSOLE: &str = "guest-console-log";

/// One step of the way from a manifest to a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Scheduled,
    Image,
    Started,
    Kernel,
    GuestUp,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Scheduled => "scheduled",
            Self::Image => "image",
            Self::Started => "started",
            Self::Kernel => "kernel",
            Self::GuestUp => "guest up",
        })
    }
}

impl Stage {
    /// All stages in their order.
    pub(super) const ALL: &[Self] =
        &[Self::Scheduled, Self::Image, Self::Started, Self::Kernel, Self::GuestUp];

    /// Returns what shows that the stage was reached, or `None` while it was not.
    pub(super) async fn evidence(
        self,
        client: &Client,
        machine: &Machine,
        greeting: &str,
    ) -> Result<Option<String>> {
        Ok(match self {
            Self::Scheduled => machine
                .pod(client)
                .await?
                .and_then(|pod| pod.spec?.node_name)
                .map(|node| format!("on node {node}")),
            Self::Image => machine.pod(client).await?.and_then(|pod| images_of_started(&pod)),
            Self::Started => {
                let phase = machine.instance(client).await?.and_then(|instance| instance.status?.phase);
                (phase.as_deref() == Some("Running"))
                    .then(|| "the hypervisor executes the machine".to_owned())
            }
            Self::Kernel => {
                machine.console(client).await?.lines().find(|line| !line.trim().is_empty()).map(shorten)
            }
            Self::GuestUp => {
                machine.console(client).await?.lines().find(|line| line.contains(greeting)).map(shorten)
            }
        })
    }
}

/// Returns the images of a Pod whose containers have started, which they do only with their images in place.
fn images_of_started(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find_map(|status| status.state.as_ref()?.running.as_ref())?;
    let volumes = pod.spec.as_ref()?.volumes.iter().flatten();
    let images: Vec<_> = volumes.filter_map(|volume| volume.image.as_ref()?.reference.clone()).collect();
    Some(if images.is_empty() { "no image needed".to_owned() } else { images.join(", ") })
}

fn shorten(line: &str) -> String {
    line.trim().chars().take(70).collect()
}

/// The VirtualMachine that the demo follows.
#[derive(Debug)]
pub(super) struct Machine {
    object: Value,
    key: Key,
}

impl Machine {
    /// Reads a manifest.
    pub(super) fn from_manifest(text: &str) -> Result<Self> {
        let object: Value = serde_saphyr::from_str(text).context("reading the manifest as YAML")?;
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        if text("/kind") != Some("VirtualMachine") {
            bail!("the manifest holds no VirtualMachine, which is what the demo follows");
        }
        let name = text("/metadata/name").context("the manifest has no metadata.name")?;
        let key = Key::new(text("/metadata/namespace").unwrap_or("default"), name);
        Ok(Self { object, key })
    }

    pub(super) fn name(&self) -> &str {
        &self.key.name
    }

    /// Applies the manifest.
    pub(super) async fn apply(&self, client: &Client) -> Result<()> {
        let patch = Patch::Apply { manager: "ironclad-demo".to_owned(), object: self.object.clone() };
        Api::<VirtualMachine>::new(client).patch(&self.key, &patch).await.context("applying the manifest")?;
        Ok(())
    }

    /// Removes a machine of this name that an earlier run left, and waits until it is gone.
    pub(super) async fn remove_if_present(&self, client: &Client, patience: Duration) -> Result<()> {
        let machines = Api::<VirtualMachine>::new(client);
        if machines.find(&self.key).await.context("asking the API")?.is_none() {
            return Ok(());
        }
        println!("removing VirtualMachine {} of an earlier run", self.key);
        let how = Delete { propagation: Some(Propagation::Foreground), ..Delete::default() };
        machines.delete(&self.key, &how).await.context("removing the machine")?;
        let begun = std::time::Instant::now();
        while machines.find(&self.key).await?.is_some() || self.pod(client).await?.is_some() {
            if begun.elapsed() > patience {
                bail!("VirtualMachine {} of an earlier run is still there after {patience:?}", self.key);
            }
            effects::SystemClock.sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Returns what the guest has printed so far.
    pub(super) async fn console(&self, client: &Client) -> Result<String> {
        let Some(name) = self.pod(client).await?.and_then(|pod| pod.metadata.name) else {
            return Ok(String::new());
        };
        let pod = Key::new(&self.key.namespace, name);
        Ok(container_log(client, &pod, CONSOLE).await?.unwrap_or_default())
    }

    /// Returns the conditions of machine and instance as text.
    pub(super) async fn conditions(&self, client: &Client) -> Result<String> {
        let machine = Api::<VirtualMachine>::new(client).find(&self.key).await?;
        let instance = self.instance(client).await?;
        let mut text = String::new();
        let objects = [machine.map(serde_json::to_value), instance.map(serde_json::to_value)];
        for object in objects.into_iter().flatten().flatten() {
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
            for condition in conditions.into_iter().flatten() {
                let field = |name: &str| condition[name].as_str().unwrap_or_default();
                let words = ["type", "status", "reason", "message"].map(field);
                text.push_str(&format!("  {}\n", words.join(" ")));
            }
        }
        Ok(text)
    }

    async fn instance(&self, client: &Client) -> Result<Option<VirtualMachineInstance>> {
        Ok(Api::new(client).find(&self.key).await?)
    }

    async fn pod(&self, client: &Client) -> Result<Option<Pod>> {
        let label = format!("{}={}", api::names::label::VM_NAME, self.key.name);
        let pods = Api::<Pod>::new(client).list(&Select::labels(label).within(&self.key.namespace)).await?;
        Ok(pods.into_iter().next())
    }
}
