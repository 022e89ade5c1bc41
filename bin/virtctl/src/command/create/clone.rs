//! `virtctl create clone`

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::{SUFFIX, object};
use crate::flags::unique;

/// Create a manifest of a clone.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl create clone [flags]",
    after_help = "Examples:\n  # A copy of a machine, with names that are made up:\n  virtctl create clone --source-name sourceVM\n\n  # With names:\n  virtctl create clone --name my-clone --source-name sourceVM --target-name targetVM\n\n  # Of a snapshot:\n  virtctl create clone --source-name mySnapshot --source-type snapshot --target-name targetVM\n\n  # With all labels but one:\n  virtctl create clone --source-name sourceVM --label-filter '*' --label-filter '!some/key'\n\n  # With another hardware address:\n  virtctl create clone --source-name sourceVM --new-mac-address interface1:00-11-22"
)]
pub(super) struct Clone {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Name of the clone [default: a random one].
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Name of what is copied.
    #[arg(long, required = true, value_name = "string")]
    source_name: String,
    /// Type of what is copied: vm or vmsnapshot [default: vm].
    #[arg(long, value_name = "string")]
    source_type: Option<String>,
    /// Name of the copy.
    #[arg(long, default_value = "", value_name = "string")]
    target_name: String,
    /// Type of the copy: vm [default: vm].
    #[arg(long, value_name = "string")]
    target_type: Option<String>,
    /// Labels that are copied; may be repeated.
    #[arg(long, value_name = "pattern")]
    label_filter: Vec<String>,
    /// Annotations that are copied; may be repeated.
    #[arg(long, value_name = "pattern")]
    annotation_filter: Vec<String>,
    /// Labels of the template that are copied; may be repeated.
    #[arg(long, value_name = "pattern")]
    template_label_filter: Vec<String>,
    /// Annotations of the template that are copied; may be repeated.
    #[arg(long, value_name = "pattern")]
    template_annotation_filter: Vec<String>,
    /// Hardware address of an interface of the copy, as INTERFACE:ADDRESS; may be repeated.
    #[arg(long, value_name = "interface:address")]
    new_mac_address: Vec<String>,
    /// Serial number of the copy.
    #[arg(long, value_name = "string")]
    new_smbios_serial: Option<String>,
}

impl Clone {
    pub(super) fn manifest(&self, namespace: Option<&str>) -> Result<Value> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if self.source_name.is_empty() {
            bail!("source name must not be empty");
        }
        let name = given(&self.name).unwrap_or_else(|| unique("clone-", SUFFIX));
        let mut clone = object("clone.kubevirt.io/v1beta1", "VirtualMachineClone", &name, namespace);
        let default = || "vm".to_owned();
        let source = given(&self.source_type).unwrap_or_else(default);
        let target = given(&self.target_type).unwrap_or_else(default);
        let mut spec = json!({
            "source": reference("source", "vm, vmsnapshot", &source, &self.source_name)?,
            "target": reference("target", "vm", &target, &self.target_name)?,
            "template": {},
        });
        filters(&mut spec, "labelFilters", &self.label_filter);
        filters(&mut spec, "annotationFilters", &self.annotation_filter);
        filters(&mut spec["template"], "labelFilters", &self.template_label_filter);
        filters(&mut spec["template"], "annotationFilters", &self.template_annotation_filter);
        let addresses = addresses(&self.new_mac_address)?;
        if !addresses.is_empty() {
            spec["newMacAddresses"] = addresses.into();
        }
        if let Some(serial) = given(&self.new_smbios_serial) {
            spec["newSMBiosSerial"] = serial.into();
        }
        clone["spec"] = spec;
        clone["status"] = json!({});
        Ok(clone)
    }
}

fn filters(parent: &mut Value, name: &str, patterns: &[String]) {
    if !patterns.is_empty() {
        parent[name] = patterns.into();
    }
}

fn reference(what: &str, supported: &str, word: &str, name: &str) -> Result<Value> {
    let (group, kind) = match (word, what) {
        ("vm" | "VM" | "VirtualMachine" | "virtualmachine", _) => ("kubevirt.io", "VirtualMachine"),
        ("snapshot" | "VirtualMachineSnapshot" | "vmsnapshot" | "VMSnapshot", "source") => {
            ("snapshot.kubevirt.io", "VirtualMachineSnapshot")
        }
        _ => bail!("{what} type {word} is not supported. Supported types: {supported}"),
    };
    Ok(json!({"apiGroup": group, "kind": kind, "name": name}))
}

fn addresses(given: &[String]) -> Result<Map<String, Value>> {
    let mut addresses = Map::new();
    for text in given {
        let parts: Vec<_> = text.split(':').collect();
        let [interface, address] = parts[..] else {
            bail!(
                "newMacAddress parameter {text} is invalid: exactly one ':' is expected. For example: 'interface0:address0'"
            );
        };
        if interface.is_empty() {
            bail!("newMacAddress parameter {text} has empty interface name");
        }
        if address.is_empty() {
            bail!("newMacAddress parameter {text} has empty address name");
        }
        addresses.insert(interface.to_owned(), address.into());
    }
    Ok(addresses)
}
