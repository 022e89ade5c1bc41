//! Moving machines between nodes: asking for it, and taking back a drain's wish for it.

use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, Key, Kind as _, PartialObject, Patch, resources};
use serde_json::json;

use super::objects::{Instance, Machine};
use super::options;
use super::refusal::{Refusal, empty};
use super::route::Scope;
use super::{Body, Call};

/// Taint of a node that is being drained, unless the installation names another.
const DRAIN_TAINT: &str = "kubevirt.io/drain";

/// Creates a migration.
pub(super) async fn migrate(call: &Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
    let options: options::Migrate = options::read(body).await?;
    call.machine().await?;
    let instance = call.instance().await?;
    if !instance.is_running() {
        return Err(Refusal::conflict(Scope::Machine, call.name, "VM is not running"));
    }
    let mut migration = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"generateName": "kubevirt-migrate-vm-", "namespace": call.namespace},
        "spec": {"vmiName": call.name},
    });
    if !options.added_node_selector.is_empty() {
        migration["spec"]["addedNodeSelector"] = json!(options.added_node_selector);
    }
    let api = Api::<PartialObject>::of(call.client, resources::VIRTUAL_MACHINE_INSTANCE_MIGRATION);
    let created = api.create_or_try(call.namespace, &migration, &options.dry_run).await;
    created.map_err(Refusal::internal)?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// Takes back the wish that an instance leaves its node.
pub(super) async fn cancel_evacuation(call: &Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
    if call.route.scope == Scope::Machine {
        let machine = Machine::fetch(call.client, call.namespace, call.name).await?;
        if !machine.status.is_some_and(|status| status.created) {
            return Err(Refusal::conflict(Scope::Machine, call.name, "VMI is not started"));
        }
    }
    let instance = call.instance().await?;
    let options: options::EvacuateCancel = options::read(body).await?;
    let node = &instance.status.node_name;
    if node.is_empty() {
        return Err(Refusal::internal("the instance is on no node yet; there is nothing to take back"));
    }
    let node = Api::<Node>::new(call.client).get(&Key::cluster(node)).await.map_err(Refusal::internal)?;
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    if taints.iter().any(|taint| taint.key == DRAIN_TAINT) {
        return Err(Refusal::bad(format!(
            "node {} has the taint {DRAIN_TAINT}: the instance would be asked to leave again; take the taint off first",
            instance.status.node_name
        )));
    }
    if !instance.status.evacuation_node_name.is_empty() {
        take_back(call, &instance, &options.dry_run).await?;
    }
    Ok(empty(StatusCode::OK))
}

async fn take_back(call: &Call<'_>, instance: &Instance, dry_run: &[String]) -> Result<(), Refusal> {
    const PATH: &str = "/status/evacuationNodeName";
    let patch = Patch::Json(json!([
        {"op": "test", "path": PATH, "value": instance.status.evacuation_node_name},
        {"op": "remove", "path": PATH},
    ]));
    let changed = Api::<Instance>::new(call.client).patch_or_try(&instance.key(), "", &patch, dry_run).await;
    match changed {
        Ok(_) => Ok(()),
        Err(error) if Refusal::is_overtaken(&error) => {
            Err(instance.conflict("the instance changed meanwhile; try again"))
        }
        Err(error) => Err(Refusal::of_change(Scope::Instance, call.name, &error)),
    }
}
