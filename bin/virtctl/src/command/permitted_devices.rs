//! `virtctl permitted-devices`

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{Format, exactly};
use crate::request::{Kind, Request};
use crate::say::{self, say};
use crate::session::Session;

/// List the devices of nodes that virtual machines may have.
///
/// They stand in the KubeVirt resource; without --namespace it is looked for in all namespaces.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl permitted-devices [flags]",
    after_help = "Examples:\n  # The devices that machines may have:\n  virtctl permitted-devices\n\n  # As JSON:\n  virtctl permitted-devices --output json"
)]
pub(crate) struct PermittedDevices {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Format: json or yaml [default: text].
    #[arg(long, short, value_name = "string")]
    output: Option<String>,
}

impl PermittedDevices {
    /// Runs the command.
    ///
    /// # Errors
    /// When nothing is installed, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [] = exactly(&self.arguments)?;
        let format = Format::chosen(self.output.as_deref())?;
        let api = session.api().await?;
        let mut found = api.read(&Request::list(Some(&api.namespace), Kind::KubeVirt)?).await?;
        let asked_for = session.connection.namespace.is_some();
        if found["items"][0].is_null() && !asked_for {
            found = api.read(&Request::list(None, Kind::KubeVirt)?).await?;
        }
        let installation = &found["items"][0];
        if installation.is_null() {
            bail!("no KubeVirt resource in {:?} namespace", api.namespace);
        }
        let permitted = &installation["spec"]["configuration"]["permittedHostDevices"];
        let (host, graphics) = (names(&permitted["pciHostDevices"]), names(&permitted["mediatedDevices"]));
        if let Some(format) = format {
            let devices = json!({"gpuDevices": graphics, "hostDevices": host});
            return say::document(format.document(&devices).as_bytes());
        }
        say!(
            "Permitted Devices: \nHost Devices: \n{} \nGPU Devices: \n{}",
            host.join(", "),
            graphics.join(", ")
        );
        Ok(())
    }
}

fn names(devices: &Value) -> Vec<&str> {
    let devices = devices.as_array().into_iter().flatten();
    devices.filter_map(|device| device["resourceName"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_go_by_the_names_that_machines_ask_for() {
        let devices = json!([{"resourceName": "nvidia.com/TU104", "pciVendorSelector": "10DE:1EB8"}, {}]);
        assert_eq!(names(&devices), ["nvidia.com/TU104"]);
        assert_eq!(names(&Value::Null), [""; 0]);
    }
}
