//! `virtctl create instancetype`

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use super::parameters::{FlagError, Parameters};
use super::{SUFFIX, object, push};
use crate::flags::unique;

pub(super) const VERSION: &str = "instancetype.kubevirt.io/v1beta1";

/// Create a manifest of an instance type, for the whole cluster unless --namespaced.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl create instancetype [flags]",
    after_help = "Examples:\n  # With a name that is made up:\n  virtctl create instancetype --cpu 2 --memory 256Mi\n\n  # With a graphics card:\n  virtctl create instancetype --cpu 2 --memory 256Mi --gpu name:gpu1,devicename:nvidia\n\n  # For one namespace:\n  virtctl create instancetype --namespaced --name my-instancetype --cpu 2 --memory 256Mi\n\n  # Sent to the server at once:\n  virtctl create instancetype --cpu 2 --memory 256Mi | kubectl create -f -"
)]
pub(super) struct Instancetype {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Number of processors.
    #[arg(long, required = true, value_name = "number")]
    cpu: u32,
    /// Graphics card that is passed through, as name:NAME,devicename:DEVICE; may be repeated.
    #[arg(long, value_name = "parameters")]
    gpu: Vec<String>,
    /// Device of the host that is passed through, as name:NAME,devicename:DEVICE; may be repeated.
    #[arg(long, value_name = "parameters")]
    hostdevice: Vec<String>,
    /// How threads for disks are shared: auto or shared.
    #[arg(long, value_name = "string")]
    iothreadspolicy: Option<String>,
    /// Memory, for example 2Gi.
    #[arg(long, required = true, value_name = "quantity")]
    memory: String,
    /// Name [default: a random one].
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// For one namespace instead of the whole cluster.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    namespaced: bool,
}

impl Instancetype {
    pub(super) fn manifest(&self, namespace: Option<&str>) -> Result<Value> {
        let memory = Quantity::parse(&self.memory).map_err(|error| anyhow!("{error}"))?;
        if self.cpu == 0 {
            bail!("cpu value must be greater than zero");
        }
        let (kind, prefix) = if self.namespaced || namespace.is_some() {
            ("VirtualMachineInstancetype", "instancetype-")
        } else {
            ("VirtualMachineClusterInstancetype", "clusterinstancetype-")
        };
        let name = self.name.clone().unwrap_or_else(|| unique(prefix, SUFFIX));
        let mut object = object(VERSION, kind, &name, namespace);
        object["spec"] = json!({"cpu": {"guest": self.cpu}, "memory": {"guest": memory.canonical()}});
        for (flag, list, given) in
            [("gpu", "gpus", &self.gpu), ("hostdevice", "hostDevices", &self.hostdevice)]
        {
            for device in given {
                push(&mut object["spec"], list, self::device(flag, device)?);
            }
        }
        if let Some(policy) = &self.iothreadspolicy {
            if !matches!(policy.as_str(), "auto" | "shared") {
                let reason = "IOThread must be of value auto or shared";
                return Err(FlagError::new("iothreadspolicy", reason).into());
            }
            object["spec"]["ioThreadsPolicy"] = policy.as_str().into();
        }
        Ok(object)
    }
}

fn device(flag: &'static str, text: &str) -> Result<Value, FlagError> {
    let mut found = Parameters::read(flag, text)?;
    let (name, device) = (found.text("name"), found.text("devicename"));
    found.finish()?;
    if name.is_empty() {
        return Err(found.wrong("name must be specified"));
    }
    if device.is_empty() {
        return Err(found.wrong("deviceName must be specified"));
    }
    Ok(json!({"name": name, "deviceName": device}))
}
