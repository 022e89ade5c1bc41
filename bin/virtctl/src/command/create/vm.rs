//! `virtctl create vm`

use anyhow::Result;
use clap::Args;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use super::parameters::{FlagError, prefixed};
use super::{SUFFIX, access, cloud_init, imports, object, volumes};
use crate::flags::{at_most_one, unique};

/// Create a manifest of a virtual machine.
///
/// It boots from its volumes in this order, unless bootorder says otherwise: container disks, claims, data sources, cloned
/// claims, blank volumes, imported volumes.
#[derive(Args, Debug, Default)]
#[command(
    override_usage = "virtctl create vm [flags]",
    after_help = "Examples:\n  # With a name that is made up:\n  virtctl create vm\n\n  # With a container disk, a user and a key:\n  virtctl create vm --name my-vm --memory 1Gi --volume-containerdisk src:my.registry/my-image:my-tag --user me --ssh-key \"ssh-ed25519 AAAA\"\n\n  # With an instance type and a preference of the cluster:\n  virtctl create vm --instancetype my-instancetype --preference my-preference\n\n  # With an instance type of its namespace:\n  virtctl create vm --instancetype virtualmachineinstancetype/my-instancetype\n\n  # With a copy of a data source, which says instance type and preference:\n  virtctl create vm --volume-import type:ds,src:my-ns/my-ds,size:50Gi --infer-instancetype --infer-preference\n\n  # With a claim as it is, and an empty disk:\n  virtctl create vm --volume-pvc src:my-pvc --volume-import type:blank,size:50Gi\n\n  # With keys that the guest agent puts in:\n  virtctl create vm --access-cred type:ssh,src:my-keys,user:me"
)]
pub(super) struct Vm {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Name [default: a random one].
    #[arg(long, value_name = "string")]
    pub(super) name: Option<String>,
    /// Run strategy [default: Always].
    #[arg(long, value_name = "string")]
    run_strategy: Option<String>,
    /// Seconds that the guest has to end by itself.
    #[arg(long, allow_negative_numbers = true, default_value_t = 180, value_name = "int")]
    termination_grace_period: i64,
    /// Memory [default: 512Mi].
    #[arg(long, value_name = "quantity")]
    memory: Option<String>,
    /// Instance type, as [kind/]name.
    #[arg(long, value_name = "string")]
    instancetype: Option<String>,
    /// Take the instance type from the first disk that is booted [default: if it has one].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    infer_instancetype: Option<bool>,
    /// Take the instance type from this volume.
    #[arg(long, value_name = "string")]
    infer_instancetype_from: Option<String>,
    /// Preference, as [kind/]name.
    #[arg(long, value_name = "string")]
    preference: Option<String>,
    /// Take the preference from the first disk that is booted [default: if it has one].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    infer_preference: Option<bool>,
    /// Take the preference from this volume.
    #[arg(long, value_name = "string")]
    infer_preference_from: Option<String>,
    /// Container disk, as src:IMAGE[,name:NAME][,bootorder:NUMBER]; may be repeated.
    #[arg(long, value_name = "parameters")]
    pub(super) volume_containerdisk: Vec<String>,
    /// Claim, as src:CLAIM[,name:NAME][,bootorder:NUMBER]; may be repeated.
    #[arg(long, value_name = "parameters")]
    pub(super) volume_pvc: Vec<String>,
    /// Volume that is filled first; may be repeated.
    ///
    /// All have type, size, name and bootorder, besides:
    ///   type:blank
    ///   type:ds        src ([namespace/]name)
    ///   type:pvc       src (namespace/name)
    ///   type:snapshot  src (namespace/name)
    ///   type:http      url, secretref, certconfigmap, extraheaders, secretextraheaders (with semicolons between)
    ///   type:registry  url or imagestream, pullmethod (pod or node), secretref, certconfigmap
    ///   type:s3        url, secretref, certconfigmap
    ///   type:gcs       url, secretref
    ///   type:imageio   url, diskid, secretref, certconfigmap
    ///   type:vddk      url, uuid, thumbprint, secretref, backingfile, initimageurl
    #[arg(long, value_name = "parameters", verbatim_doc_comment)]
    pub(super) volume_import: Vec<String>,
    /// ConfigMap or Secret with Windows' answer file, as src:NAME[,type:configmap|secret].
    #[arg(long, value_name = "parameters")]
    pub(super) volume_sysprep: Option<String>,
    /// User in the guest.
    #[arg(long, value_name = "string")]
    pub(super) user: Option<String>,
    /// File with the user's password, which then stands in the manifest.
    #[arg(long, value_name = "file")]
    pub(super) password_file: Option<String>,
    /// Public keys of the user, with commas between; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "key")]
    pub(super) ssh_key: Vec<String>,
    /// Let the guest agent write keys, where SELinux would not.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    pub(super) ga_manage_ssh: Option<bool>,
    /// Secret with keys or passwords, as src:SECRET[,type:ssh|password][,method:ga|nocloud|configdrive][,user:USER]; may be
    /// repeated.
    #[arg(long, value_name = "parameters")]
    pub(super) access_cred: Vec<String>,
    /// Kind of cloud-init's data: nocloud, configdrive or none [default: nocloud].
    #[arg(long, value_name = "string")]
    pub(super) cloud_init: Option<String>,
    /// User data for cloud-init, in base64.
    #[arg(long, value_name = "base64")]
    pub(super) cloud_init_user_data: Option<String>,
    /// Network data for cloud-init, in base64.
    #[arg(long, value_name = "base64")]
    pub(super) cloud_init_network_data: Option<String>,
    /// Deprecated: --volume-import with type:ds.
    #[arg(long, value_name = "parameters")]
    pub(super) volume_datasource: Vec<String>,
    /// Deprecated: --volume-import with type:pvc.
    #[arg(long, value_name = "parameters")]
    pub(super) volume_clone_pvc: Vec<String>,
    /// Deprecated: --volume-import with type:blank.
    #[arg(long, value_name = "parameters")]
    pub(super) volume_blank: Vec<String>,
}

/// A manifest that is being made.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) machine: Value,
    pub(super) name: String,
    /// Disks whose place in the boot order was named.
    pub(super) boot_order: std::collections::BTreeMap<u32, String>,
}

impl Draft {
    /// The specification of the machine's instance.
    pub(super) fn instance(&mut self) -> &mut Value {
        &mut self.machine["spec"]["template"]["spec"]
    }
}

impl Vm {
    pub(super) fn manifest(&self, namespace: Option<&str>) -> Result<Value> {
        if let Some(word) = self.arguments.first() {
            let (word, parent) = (word.clone(), "virtctl create vm".to_owned());
            return Err(crate::usage::UsageError::Command { word, parent }.into());
        }
        self.exclude()?;
        let name = self.name.clone().filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| unique("vm-", SUFFIX));
        let memory = self.memory.as_deref().unwrap_or("512Mi");
        let memory = Quantity::parse(memory).map_err(|error| FlagError::new("memory", error.to_string()))?;
        let mut machine = object("kubevirt.io/v1", "VirtualMachine", &name, namespace);
        machine["spec"] = json!({
            "runStrategy": self.strategy()?,
            "template": {"metadata": {}, "spec": {
                "domain": {"devices": {}, "memory": {"guest": memory.canonical()}, "resources": {}},
                "terminationGracePeriodSeconds": self.termination_grace_period,
            }},
        });
        machine["status"] = json!({});
        let mut draft = Draft { machine, name, boot_order: std::collections::BTreeMap::new() };
        if let Some(text) = &self.instancetype {
            draft.machine["spec"]["instancetype"] = matcher("instancetype", text)?;
            forget_memory(&mut draft);
        }
        if let Some(text) = &self.preference {
            draft.machine["spec"]["preference"] = matcher("preference", text)?;
        }
        volumes::add(self, &mut draft)?;
        imports::add(self, &mut draft)?;
        volumes::add_sysprep(self, &mut draft)?;
        let wanted = access::add(self, &mut draft)?;
        cloud_init::add(self, wanted, &mut draft)?;
        self.infer(&mut draft)?;
        Ok(draft.machine)
    }

    /// Refuses flags that exclude each other.
    fn exclude(&self) -> Result<()> {
        let user_data = ("cloud-init-user-data", self.cloud_init_user_data.is_some());
        for other in [
            ("user", self.user.is_some()),
            ("password-file", self.password_file.is_some()),
            ("ssh-key", !self.ssh_key.is_empty()),
            ("ga-manage-ssh", self.ga_manage_ssh.is_some()),
        ] {
            at_most_one(&[user_data, other])?;
        }
        at_most_one(&[
            ("memory", self.memory.is_some()),
            ("instancetype", self.instancetype.is_some()),
            ("infer-instancetype", self.infer_instancetype.is_some()),
            ("infer-instancetype-from", self.infer_instancetype_from.is_some()),
        ])?;
        Ok(at_most_one(&[
            ("preference", self.preference.is_some()),
            ("infer-preference", self.infer_preference.is_some()),
            ("infer-preference-from", self.infer_preference_from.is_some()),
        ])?)
    }

    fn strategy(&self) -> Result<&'static str, FlagError> {
        const STRATEGIES: [&str; 5] = ["Always", "Manual", "Halted", "Once", "RerunOnFailure"];
        let Some(word) = &self.run_strategy else { return Ok("Always") };
        let found = STRATEGIES.into_iter().find(|strategy| strategy.eq_ignore_ascii_case(word));
        found.ok_or_else(|| {
            let known = STRATEGIES.join(", ");
            FlagError::new(
                "run-strategy",
                format!("invalid run strategy \"{word}\", supported values are: {known}"),
            )
        })
    }

    /// Lets the server find instance type and preference in a volume. What nobody asked for is only tried.
    fn infer(&self, draft: &mut Draft) -> Result<()> {
        let named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        for (what, excluded, wanted, from) in [
            (
                "instancetype",
                named(&self.instancetype) || self.memory.is_some(),
                self.infer_instancetype,
                &self.infer_instancetype_from,
            ),
            ("preference", named(&self.preference), self.infer_preference, &self.infer_preference_from),
        ] {
            if excluded || wanted == Some(false) {
                continue;
            }
            let explicit = wanted.is_some() || from.is_some();
            match volumes::inferred_from(draft, from.as_deref().filter(|name| !name.is_empty())) {
                Ok(volume) if explicit => {
                    draft.machine["spec"][what] = json!({"inferFromVolume": volume});
                    if what == "instancetype" {
                        forget_memory(draft);
                    }
                }
                Ok(volume) => {
                    draft.machine["spec"][what] =
                        json!({"inferFromVolume": volume, "inferFromVolumeFailurePolicy": "Ignore"});
                }
                Err(error) if explicit => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The instance type says how much memory there is.
fn forget_memory(draft: &mut Draft) {
    let domain = draft.instance()["domain"].as_object_mut().expect("it was made as an object");
    domain.remove("memory");
}

fn matcher(flag: &'static str, text: &str) -> Result<Value, FlagError> {
    let (kind, name) = prefixed(text).map_err(|reason| FlagError::new(flag, reason))?;
    let kind = kind.to_lowercase();
    let known = [format!("virtualmachine{flag}"), format!("virtualmachinecluster{flag}")];
    if kind.is_empty() {
        return Ok(json!({"name": name}));
    }
    if known.contains(&kind) {
        return Ok(json!({"name": name, "kind": kind}));
    }
    let reason = format!("invalid {flag} kind \"{kind}\", supported values are: {}", known.join(", "));
    Err(FlagError::new(flag, reason))
}
