//! `virtctl vmexport`

mod create;
pub(crate) mod download;
mod forward;
mod links;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use self::download::{Download, Output, Want};
use super::exactly;
use crate::flags::at_most_one;
use crate::session::Session;

/// How long an export may take to be ready.
pub(crate) const READINESS: Duration = Duration::from_secs(120);

const NO_SOURCE: &str =
    "need to specify export kind when attempting to create a VirtualMachineExport [--pvc|--vm|--snapshot]";

/// Export the volumes of a virtual machine, a snapshot or a claim.
///
/// An export is an object: a server of its own gives the volumes out for as long as it is there. `download` makes one where
/// a source is named, and deletes it afterwards.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl vmexport (create | delete | download) NAME [flags]",
    after_help = "Examples:\n  # Make an export of the machine 'vm1', of a snapshot, of a claim:\n  virtctl vmexport create vm1-export --vm=vm1\n  virtctl vmexport create snap1-export --snapshot=snap1\n  virtctl vmexport create pvc1-export --pvc=pvc1\n\n  # Download a volume of an export; --volume may be left out where there is only one:\n  virtctl vmexport download vm1-export --volume=volume1 --output=disk.img.gz\n\n  # Make an export, download a volume unpacked through the API server, and delete the export:\n  virtctl vmexport download vm1-export --vm=vm1 --volume=volume1 --output=disk.img --format=raw --port-forward\n\n  # Print the manifests to make the machine anew elsewhere, with the secret that they need:\n  virtctl vmexport download vm1-export --vm=vm1 --manifest --include-secret\n\n  # Delete an export:\n  virtctl vmexport delete vm1-export"
)]
pub(crate) struct VmExport {
    #[arg(hide = true, value_name = "ACTION NAME")]
    arguments: Vec<String>,
    /// Export this virtual machine.
    #[arg(long, default_value = "", value_name = "string")]
    vm: String,
    /// Export this snapshot of a virtual machine.
    #[arg(long, default_value = "", value_name = "string")]
    snapshot: String,
    /// Export this claim.
    #[arg(long, default_value = "", value_name = "string")]
    pvc: String,
    /// File to write to; '-' is standard output.
    #[arg(long, default_value = "", value_name = "file")]
    output: String,
    /// Volume to download.
    #[arg(long, default_value = "", value_name = "string")]
    volume: String,
    /// Format of the download: gzip or raw [default: gzip].
    #[arg(long, default_value = "", value_name = "string")]
    format: String,
    /// Do not check the certificate of the export's server.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    insecure: bool,
    /// Keep the export after the download, also one that was made for it.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    keep_vme: bool,
    /// Delete the export after the download, also one that was there before.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    delete_vme: bool,
    /// How long the export stays, for example 1h30m [default: what the server says].
    #[arg(long, default_value = "", value_name = "duration")]
    ttl: String,
    /// Format of manifests: yaml or json [default: yaml].
    #[arg(long, default_value = "", value_name = "string")]
    manifest_output_format: String,
    /// Address to reach the export's server at, instead of the one that the export names.
    #[arg(long, default_value = "", value_name = "host[:port]")]
    service_url: String,
    /// Reach the export's server through the API server.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    port_forward: bool,
    /// Local port for --port-forward; 0 takes a free one.
    #[arg(long, default_value = "0", value_name = "port")]
    local_port: String,
    /// How often to try again when the export's server refuses.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "int")]
    retry: i64,
    /// Print the secret that the manifests need, too.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    include_secret: bool,
    /// Print manifests of the machine instead of downloading a volume.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    manifest: bool,
    /// Labels of the export and its Pod; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "key=value,...")]
    labels: Vec<String>,
    /// Annotations of the export and its Pod; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "key=value,...")]
    annotations: Vec<String>,
    /// How long to wait until the export is ready, for example 5m [default: 2m].
    #[arg(long, default_value = "", value_name = "duration")]
    readiness_timeout: String,
}

/// What the first argument says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Create,
    Delete,
    Download,
}

/// An export as its flags describe it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    /// What is exported; `null` when the export is there already.
    pub(crate) source: Value,
    pub(crate) ttl: Option<Duration>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl VmExport {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags do not fit together, the server does not agree, or the volume cannot be had.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [action, name] = exactly(&self.arguments)?;
        let action = self.action(action)?;
        let draft = Draft {
            name: name.clone(),
            source: self.source(),
            ttl: duration(&self.ttl)?,
            labels: pairs(&self.labels),
            annotations: pairs(&self.annotations),
        };
        match action {
            Action::Create => create::create(session.api().await?, &draft, &Output::Told).await.map(drop),
            Action::Delete => create::delete(session.api().await?, name, &Output::Told).await,
            Action::Download => {
                let download = self.download(draft)?;
                download.run(session.api().await?).await
            }
        }
    }

    fn action(&self, word: &str) -> Result<Action> {
        at_most_one(&[
            ("vm", !self.vm.is_empty()),
            ("snapshot", !self.snapshot.is_empty()),
            ("pvc", !self.pvc.is_empty()),
        ])?;
        at_most_one(&[("keep-vme", self.keep_vme), ("delete-vme", self.delete_vme)])?;
        let action = match word.to_lowercase().as_str() {
            "create" => Action::Create,
            "delete" => Action::Delete,
            "download" => Action::Download,
            other => bail!("invalid function '{other}'"),
        };
        match action {
            Action::Create if self.source().is_null() => bail!(NO_SOURCE),
            Action::Delete if !self.source().is_null() => bail!("should not specify export kind"),
            Action::Download => self.check_download()?,
            _ => self.refuse(action)?,
        }
        Ok(action)
    }

    /// Refuses flags that are for downloads alone.
    fn refuse(&self, action: Action) -> Result<()> {
        let word = if action == Action::Create { "create" } else { "delete" };
        let given = [
            ("--output", !self.output.is_empty()),
            ("--volume", !self.volume.is_empty()),
            ("--insecure", self.insecure),
            ("--keep-vme", self.keep_vme),
            ("--delete-vme", self.delete_vme),
            ("--port-forward", self.port_forward),
            ("--local-port", self.local_port != "0"),
            ("--format", !self.format.is_empty()),
            ("--service-url", !self.service_url.is_empty()),
            ("--retry", self.retry != 0),
        ];
        let deleting = [
            ("--readiness-timeout", !self.readiness_timeout.is_empty()),
            ("--labels", !self.labels.is_empty()),
            ("--annotations", !self.annotations.is_empty()),
        ];
        let deleting = deleting.iter().filter(|_| action == Action::Delete);
        match given.iter().chain(deleting).find(|(_, given)| *given) {
            Some((flag, _)) => bail!("the '{flag}' flag is incompatible with '{word}'"),
            None => Ok(()),
        }
    }

    fn check_download(&self) -> Result<()> {
        let wrong =
            |flag: &str, values: &str| format!("{flag} is not a valid value, acceptable values are {values}");
        if self.port_forward && self.local_port.parse::<u16>().is_err() {
            bail!(wrong("--local-port", "valid port numbers"));
        }
        if !matches!(self.format.as_str(), "" | "gzip" | "raw") {
            bail!(wrong("--format", "gzip/raw"));
        }
        if self.retry < 0 {
            bail!(wrong("--retry", "positive integers"));
        }
        if self.manifest {
            if !self.volume.is_empty() {
                bail!("the '--volume' flag is incompatible with '--manifest'");
            }
            if !matches!(self.manifest_output_format.to_lowercase().as_str(), "" | "json" | "yaml") {
                bail!(wrong("--manifest-output-format", "json/yaml"));
            }
            if !self.pvc.is_empty() {
                bail!("the '--pvc' flag is incompatible with '--manifest'");
            }
        } else if self.output.is_empty() {
            bail!(
                "warning: Binary output can mess up your terminal. Use '--output -' to output into stdout anyway or consider '--output <FILE>' to save to a file"
            );
        }
        Ok(())
    }

    fn source(&self) -> Value {
        let of = |group: &str, kind: &str, name: &str| json!({"apiGroup": group, "kind": kind, "name": name});
        match (self.vm.as_str(), self.snapshot.as_str(), self.pvc.as_str()) {
            ("", "", "") => Value::Null,
            (_, _, pvc) if !pvc.is_empty() => of("", "PersistentVolumeClaim", pvc),
            (_, snapshot, _) if !snapshot.is_empty() => {
                of("snapshot.kubevirt.io", "VirtualMachineSnapshot", snapshot)
            }
            (vm, ..) => of("kubevirt.io", "VirtualMachine", vm),
        }
    }

    fn download(&self, draft: Draft) -> Result<Download> {
        let want = if self.manifest {
            Want::Manifests {
                json: self.manifest_output_format.eq_ignore_ascii_case("json"),
                secret: self.include_secret,
            }
        } else {
            Want::Volume { name: self.volume.clone(), unpacked: self.format == "raw" }
        };
        Ok(Download {
            draft,
            want,
            output: Output::to(&self.output)?,
            insecure: self.insecure || self.port_forward,
            keep: self.keep_vme,
            delete: self.delete_vme,
            service: Some(self.service_url.clone()).filter(|service| !service.is_empty()),
            forward: self.port_forward.then(|| self.local_port.parse()).transpose()?,
            retries: self.retry.unsigned_abs(),
            readiness: duration(&self.readiness_timeout)?.unwrap_or(READINESS),
        })
    }
}

/// Reads a duration as Go writes it; nothing is none.
fn duration(text: &str) -> Result<Option<Duration>> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed =
        text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    match parsed {
        Some(duration) => Ok(Some(duration).filter(|duration| !duration.is_zero())),
        None => bail!("time: invalid duration {text:?}; write it as 90s, 5m or 1h30m"),
    }
}

fn pairs(given: &[String]) -> BTreeMap<String, String> {
    let pairs = given.iter().filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn judged(line: &str) -> Result<Action, String> {
        let words = ["virtctl", "vmexport"].into_iter().chain(line.split_whitespace());
        let Ok(Cli { command: Some(Command::Vmexport(command)), .. }) = Cli::try_parse_from(words) else {
            return Err("vmexport is vmexport".to_owned());
        };
        command.action(&command.arguments[0]).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_fit_their_actions() {
        for (line, action) in [
            ("create e --vm=a --ttl=1h --labels=a=b,c=d", Action::Create),
            ("delete e", Action::Delete),
            ("Download e --volume=v --output=-", Action::Download),
            ("download e --vm=a --manifest --manifest-output-format=JSON", Action::Download),
        ] {
            assert_eq!(judged(line), Ok(action), "{line}");
        }
        for (line, says) in [
            ("create e", NO_SOURCE),
            ("create e --vm=a --output=f", "the '--output' flag is incompatible with 'create'"),
            ("create e --vm=a --retry=1", "the '--retry' flag is incompatible with 'create'"),
            ("delete e --vm=a", "should not specify export kind"),
            ("delete e --labels=a=b", "the '--labels' flag is incompatible with 'delete'"),
            (
                "download e --output=f --format=zip",
                "--format is not a valid value, acceptable values are gzip/raw",
            ),
            (
                "download e --output=f --retry=-1",
                "--retry is not a valid value, acceptable values are positive integers",
            ),
            (
                "download e --output=f --port-forward --local-port=x",
                "--local-port is not a valid value, acceptable values are valid port numbers",
            ),
            ("download e --manifest --volume=v", "the '--volume' flag is incompatible with '--manifest'"),
            ("download e --manifest --pvc=c", "the '--pvc' flag is incompatible with '--manifest'"),
            (
                "download e --vm=a --pvc=c --output=f",
                "if any flags in the group [vm snapshot pvc] are set none of the others can be; [pvc vm] were all set",
            ),
            ("upload e", "invalid function 'upload'"),
        ] {
            assert_eq!(judged(line).unwrap_err(), says, "{line}");
        }
        assert!(judged("download e").unwrap_err().starts_with("warning: Binary output"));
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1h30m").unwrap(), Some(Duration::from_secs(5400)));
        assert_eq!((duration("").unwrap(), duration("0s").unwrap()), (None, None));
        assert!(duration("soon").unwrap_err().to_string().contains("1h30m"));
    }
}
