//! `virtctl addvolume`

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::removevolume::persuade;
use super::{DryRun, exactly, put};
use crate::api::Api;
use crate::request::{Kind, Request, options};
use crate::say::say;
use crate::session::Session;

/// Add a volume to a running virtual machine.
///
/// The volume is a DataVolume or a claim of the machine's namespace. It stays in the machine's definition, so that the
/// next run has it, too.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl addvolume (VM) --volume-name=NAME [flags]",
    after_help = "Examples:\n  # Add the claim or DataVolume 'data' to 'myvm', with its name as serial number:\n  virtctl addvolume myvm --volume-name=data\n\n  # With a serial number, by which the guest finds it:\n  virtctl addvolume myvm --volume-name=data --serial=1234567890\n\n  # On virtio, and without the node's cache:\n  virtctl addvolume myvm --volume-name=data --bus=virtio --cache=none\n\n  # As a LUN, whose SCSI commands reach the storage:\n  virtctl addvolume myvm --volume-name=data --disk-type=lun"
)]
pub(crate) struct AddVolume {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    /// Name of the DataVolume or claim, and of the volume in the machine.
    #[arg(long, required = true, value_name = "string")]
    volume_name: String,
    /// Serial number of the disk [default: the volume's name].
    #[arg(long, default_value = "", value_name = "string")]
    serial: String,
    /// How the node caches it: none, writethrough or writeback.
    #[arg(long, default_value = "", value_name = "string")]
    cache: String,
    /// What the guest sees: disk or lun.
    #[arg(long, default_value = "disk", value_name = "string")]
    disk_type: String,
    /// Bus of the disk: scsi or virtio; a lun is on scsi.
    #[arg(long, default_value = "scsi", value_name = "string")]
    bus: String,
    /// Deprecated: volumes stay in the machine's definition without it.
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    persist: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl AddVolume {
    /// Runs the command.
    ///
    /// # Errors
    /// When a flag is wrong, there is no such volume, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let dry_run = self.dry_run.announced();
        let source = self.source(api).await.map_err(|error| anyhow!("error adding volume, {error}"))?;
        let body = self.body(source, dry_run)?;
        persuade(api, name, "addvolume", "adding", &body).await?;
        say!("Successfully submitted add volume request to VM {name} for volume {}", self.volume_name);
        Ok(())
    }

    /// Finds out what the volume is.
    async fn source(&self, api: &Api) -> Result<Value> {
        let name = &self.volume_name;
        if api.call(&Request::object(&api.namespace, Kind::DataVolume, name)?).await.is_ok() {
            return Ok(json!({"dataVolume": {"name": name, "hotpluggable": true}}));
        }
        match api.call(&Request::object(&api.namespace, Kind::Claim, name)?).await {
            Ok(_) => Ok(json!({"persistentVolumeClaim": {"claimName": name, "hotpluggable": true}})),
            Err(error) if error.code() == Some(404) => {
                bail!("Volume {name} is not a DataVolume or PersistentVolumeClaim")
            }
            Err(error) => Err(error.into()),
        }
    }

    fn body(&self, source: Value, dry_run: bool) -> Result<Value> {
        let device = match (self.disk_type.as_str(), self.bus.as_str()) {
            ("disk", "scsi" | "virtio") => "disk",
            ("disk", bus) => {
                bail!("Invalid bus type '{bus}' for disk. Only 'scsi' and 'virtio' are supported.")
            }
            ("lun", "scsi") => "lun",
            ("lun", bus) => bail!("Invalid bus type '{bus}' for LUN disk. Only 'scsi' bus is supported."),
            (kind, _) => bail!("Invalid disk type '{kind}'. Only LUN and Disk are supported."),
        };
        let serial = if self.serial.is_empty() { &self.volume_name } else { &self.serial };
        let mut disk = json!({"name": self.volume_name, device: {"bus": self.bus}, "serial": serial});
        match self.cache.as_str() {
            "" => {}
            cache @ ("none" | "writethrough" | "writeback") => put(&mut disk, "cache", cache),
            cache => bail!("error adding volume, invalid cache value {cache}"),
        }
        let mut body = options(dry_run);
        put(&mut body, "name", self.volume_name.as_str());
        put(&mut body, "disk", disk);
        put(&mut body, "volumeSource", source);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn body(flags: &str) -> Result<Value, String> {
        let line = format!("virtctl addvolume vm1 --volume-name=v {flags}");
        let Some(Command::Addvolume(command)) =
            Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?.command
        else {
            panic!("addvolume is addvolume")
        };
        command.body(json!({"dataVolume": {}}), false).map_err(|error| error.to_string())
    }

    #[test]
    fn the_disk_is_what_the_flags_say() {
        for (flags, disk) in [
            ("", json!({"name": "v", "disk": {"bus": "scsi"}, "serial": "v"})),
            ("--persist", json!({"name": "v", "disk": {"bus": "scsi"}, "serial": "v"})),
            (
                "--bus=virtio --serial=12 --cache=none",
                json!({"name": "v", "disk": {"bus": "virtio"}, "serial": "12", "cache": "none"}),
            ),
            ("--disk-type=lun", json!({"name": "v", "lun": {"bus": "scsi"}, "serial": "v"})),
        ] {
            let expected = json!({"name": "v", "disk": disk, "volumeSource": {"dataVolume": {}}});
            assert_eq!(body(flags).unwrap(), expected, "{flags}");
        }
        for (flags, says) in [
            ("--disk-type=cdrom", "Invalid disk type 'cdrom'. Only LUN and Disk are supported."),
            ("--bus=sata", "Invalid bus type 'sata' for disk. Only 'scsi' and 'virtio' are supported."),
            (
                "--disk-type=lun --bus=virtio",
                "Invalid bus type 'virtio' for LUN disk. Only 'scsi' bus is supported.",
            ),
            ("--cache=x", "error adding volume, invalid cache value x"),
        ] {
            assert_eq!(body(flags).unwrap_err(), says);
        }
    }
}
