//! `virtctl template create`

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::json;

use crate::command::exactly;
use crate::request::{Kind, Request};
use crate::say::say;
use crate::session::Session;

/// Ask the server to make a template of a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl template create --vm-name=VM [flags]",
    after_help = "Examples:\n  # Of a machine of this namespace, with a name that is made up:\n  virtctl template create --vm-name myvm\n\n  # Of a machine of another namespace, with a name:\n  virtctl template create --vm-name myvm --vm-namespace production --name mytemplate"
)]
pub(super) struct Create {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Virtual machine to make a template of.
    #[arg(long, required = true, value_name = "string")]
    vm_name: String,
    /// Namespace of the virtual machine [default: the current one].
    #[arg(long, default_value = "", value_name = "string")]
    vm_namespace: String,
    /// Name of the template [default: a random one].
    #[arg(long, default_value = "", value_name = "string")]
    name: String,
}

impl Create {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let [] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let namespace = if self.vm_namespace.is_empty() { &api.namespace } else { &self.vm_namespace };
        let mut request = json!({
            "apiVersion": "template.kubevirt.io/v1alpha1",
            "kind": "VirtualMachineTemplateRequest",
            "metadata": {"generateName": format!("{}-", self.vm_name)},
            "spec": {"virtualMachineRef": {"namespace": namespace, "name": self.vm_name}},
        });
        if !self.name.is_empty() {
            request["spec"]["templateName"] = self.name.as_str().into();
        }
        let created = api.read(&Request::create(&api.namespace, Kind::TemplateRequest, request)?).await;
        let created =
            created.map_err(|error| anyhow!("error creating VirtualMachineTemplateRequest: {error}"))?;
        let name = created["metadata"]["name"].as_str().unwrap_or_default();
        say!("virtualmachinetemplaterequest.template.kubevirt.io/{name} created");
        Ok(())
    }
}
