//! `virtctl memory-dump`

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use machinery::quantity::Quantity;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::exactly;
use super::vmexport::download::{Download, Output, Want};
use super::vmexport::{Draft, READINESS};
use crate::api::Api;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Between two looks at a dump.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a dump may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Room that a dump needs beside the guest's memory: what the hypervisor writes about the machine.
const BESIDE: u64 = 100 << 20;

/// Share of a volume that a filesystem needs for itself, in thousandths, unless the importer's configuration says otherwise.
const OVERHEAD: f64 = 0.055;

/// Write the memory of a running virtual machine into a claim.
///
/// `get` takes a dump, `download` writes the last one into a file, `remove` lets the machine forget its claim, so that the next
/// dump can go into another.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl memory-dump (get | download | remove) VM [flags]",
    after_help = "Examples:\n  # Into a claim that is there:\n  virtctl memory-dump get myvm --claim-name=memory\n\n  # Into a claim that is made for it, and on into a file:\n  virtctl memory-dump get myvm --claim-name=memory --create-claim --output=memory.dump.gz\n\n  # Again, into the same claim:\n  virtctl memory-dump get myvm\n\n  # The last one, unpacked, through the API server:\n  virtctl memory-dump download myvm --output=memory.dump --format=raw --port-forward\n\n  # Forget the claim:\n  virtctl memory-dump remove myvm"
)]
pub(crate) struct MemoryDump {
    #[arg(hide = true, value_name = "ACTION VM")]
    arguments: Vec<String>,
    /// Claim for the dump [default: that of the last dump].
    #[arg(long, default_value = "", value_name = "string")]
    claim_name: String,
    /// Make the claim.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    create_claim: bool,
    /// StorageClass of the claim that is made.
    #[arg(long, default_value = "", value_name = "string")]
    storage_class: String,
    /// Access mode of the claim that is made: ReadWriteOnce or ReadWriteMany [default: ReadWriteOnce].
    #[arg(long, default_value = "", value_name = "string")]
    access_mode: String,
    /// Format of the download: gzip or raw [default: gzip].
    #[arg(long, default_value = "", value_name = "string")]
    format: String,
    /// File to download into.
    #[arg(long, default_value = "", value_name = "file")]
    output: String,
    /// Download through the API server.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    port_forward: bool,
    /// Local port for --port-forward; 0 takes a free one.
    #[arg(long, default_value_t = 0, value_name = "port")]
    local_port: u16,
}

impl MemoryDump {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags do not fit together, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [action, name] = exactly(&self.arguments)?;
        match action.as_str() {
            "get" => self.get(session.api().await?, name).await,
            "download" => self.download(session.api().await?, name).await,
            "remove" => remove(session.api().await?, name).await,
            other => bail!("invalid action type {other}"),
        }
    }

    async fn get(&self, api: &Api, name: &str) -> Result<()> {
        if self.create_claim {
            if self.claim_name.is_empty() {
                bail!("missing claim name");
            }
            self.make_claim(api, name).await?;
        }
        let request = Request::subresource(Verb::Put, &api.namespace, Kind::Machine, name, "memorydump")?;
        let body = json!({"claimName": self.claim_name, "phase": ""});
        api.call(&request.with_body(body))
            .await
            .map_err(|error| anyhow!("error dumping vm memory, {error}"))?;
        say!("Successfully submitted memory dump request of VM {name}");
        if self.output.is_empty() { Ok(()) } else { self.download(api, name).await }
    }

    async fn make_claim(&self, api: &Api, name: &str) -> Result<()> {
        let mode = self.mode()?;
        let (namespace, claim) = (&api.namespace, &self.claim_name);
        let machine = api.read(&Request::object(namespace, Kind::Machine, name)?).await?;
        if machine["status"]["memoryDumpRequest"].is_object() {
            bail!(
                "please remove current memory dump association before creating a new claim for a new memory dump"
            );
        }
        match api.call(&Request::object(namespace, Kind::Claim, claim)?).await {
            Ok(_) => bail!(
                "PVC {namespace}/{claim} already exists, check if it should be created if not remove create flag"
            ),
            Err(error) if error.code() == Some(404) => {}
            Err(error) => return Err(error.into()),
        }
        let instance = api.read(&Request::object(namespace, Kind::Instance, name)?).await?;
        let overhead = self.overhead(api).await?;
        let object = claim_of(claim, size(&instance, overhead), mode, &self.storage_class);
        api.call(&Request::create(namespace, Kind::Claim, object)?).await?;
        say!("PVC {namespace}/{claim} created");
        Ok(())
    }

    fn mode(&self) -> Result<&str> {
        match self.access_mode.as_str() {
            "" => Ok("ReadWriteOnce"),
            mode @ ("ReadWriteOnce" | "ReadWriteMany") => Ok(mode),
            "ReadOnlyMany" => {
                bail!(
                    "cannot dump memory to a readonly pvc, use either ReadWriteOnce or ReadWriteMany if supported"
                )
            }
            _ => bail!("invalid access mode, use either ReadWriteOnce or ReadWriteMany if supported"),
        }
    }

    /// Returns the share that a filesystem needs for itself.
    async fn overhead(&self, api: &Api) -> Result<f64> {
        let config = match api.read(&Request::of_cluster(Kind::CdiConfig, "config")?).await {
            Err(error) if error.code() == Some(404) => {
                say!("Using default 5.5% filesystem overhead for pvc size");
                return Ok(OVERHEAD);
            }
            outcome => outcome?,
        };
        let known = &config["status"]["filesystemOverhead"];
        let of_class = known["storageClass"][&self.storage_class].as_str();
        let share = of_class.or_else(|| known["global"].as_str()).and_then(|share| share.parse().ok());
        Ok(share.unwrap_or(OVERHEAD))
    }

    async fn download(&self, api: &Api, name: &str) -> Result<()> {
        if self.output.is_empty() {
            bail!("missing outputFile to download the memory dump");
        }
        let claim = completed(api, name).await?;
        let download = Download {
            draft: Draft {
                name: format!("export-{name}-{claim}"),
                source: json!({"apiGroup": "", "kind": "PersistentVolumeClaim", "name": claim}),
                ..Draft::default()
            },
            want: Want::Volume { name: String::new(), unpacked: self.format == "raw" },
            output: Output::to(&self.output)?,
            // Through the API server, the exporter is asked by another name than its certificate has.
            insecure: self.port_forward,
            keep: false,
            delete: false,
            service: None,
            forward: self.port_forward.then_some(self.local_port),
            // The exporter may come before the claim is free again.
            retries: 2,
            readiness: READINESS,
        };
        download.run(api).await
    }
}

async fn remove(api: &Api, name: &str) -> Result<()> {
    let request = Request::subresource(Verb::Put, &api.namespace, Kind::Machine, name, "removememorydump")?;
    let removed = api.call(&request).await;
    removed.map_err(|error| anyhow!("error removing memory dump association, {error}"))?;
    say!("Successfully submitted remove memory dump association of VM {name}");
    Ok(())
}

/// Waits for a dump, and returns the claim that it is in.
async fn completed(api: &Api, name: &str) -> Result<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let machine = api.read(&Request::object(&api.namespace, Kind::Machine, name)?).await?;
        let dump = &machine["status"]["memoryDumpRequest"];
        let phase = dump["phase"].as_str().unwrap_or_default();
        let claim = dump["claimName"].as_str().unwrap_or_default();
        match phase {
            "Completed" if claim.is_empty() => bail!("claim name not on vm memory dump request"),
            "Completed" => {
                say!("Memory dump completed successfully");
                return Ok(claim.to_owned());
            }
            "Failed" => {
                bail!("the memory dump failed: {}", dump["message"].as_str().unwrap_or("no reason is known"))
            }
            _ if Instant::now() >= end => bail!(
                "the memory dump of VM {name} is not complete after {} s; its phase is {phase:?}",
                PATIENCE.as_secs()
            ),
            _ if dump.is_object() => {
                say!("Waiting for memorydump {claim} to complete, current phase: {phase}...");
            }
            _ => {}
        }
        sleep(PAUSE).await;
    }
}

/// Returns how large a claim for a dump must be.
fn size(instance: &Value, overhead: f64) -> u64 {
    let memory = [
        instance.pointer("/spec/domain/memory/guest"),
        instance.pointer("/spec/domain/resources/requests/memory"),
    ];
    let memory = memory.into_iter().flatten().find_map(|amount| Quantity::parse(amount.as_str()?).ok());
    let dump = memory.map_or(0, |memory| memory.bytes()) + BESIDE;
    // Volumes are whole mebibytes.
    let size = dump as f64 * (1.0 + overhead);
    (size / f64::from(1 << 20)).ceil() as u64 * (1 << 20)
}

fn claim_of(name: &str, size: u64, mode: &str, class: &str) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {"cdi.kubevirt.io/applyStorageProfile": "true"}},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": Quantity::from_bytes(size).canonical()}}},
    });
    if !class.is_empty() {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_has_room_for_memory_and_filesystem() {
        let instance = |memory: &str| json!({"spec": {"domain": {"memory": {"guest": memory}}}});
        assert_eq!(size(&instance("924Mi"), 0.0), 1 << 30);
        assert_eq!(size(&instance("924Mi"), 1.0), 2 << 30);
        assert_eq!(size(&instance("1Gi"), OVERHEAD) % (1 << 20), 0);
        let claim = claim_of("c", 1 << 30, "ReadWriteOnce", "fast");
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
        assert_eq!(claim["spec"]["storageClassName"], "fast");
        assert_eq!(claim["metadata"]["labels"]["cdi.kubevirt.io/applyStorageProfile"], "true");
    }
}
