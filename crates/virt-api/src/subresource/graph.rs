//! The tree of objects that belong to a machine.

use api::names::label;
use http::{Response, StatusCode};
use kube_ext::{Api, PartialObject, Select, resources};
use serde_json::{Value, json};

use super::objects::Instance;
use super::refusal::{Refusal, answer as respond};
use super::route::Scope;
use super::{Body, Call};

/// Answers with the tree below a machine or an instance.
pub(super) async fn answer(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let tree = match call.route.scope {
        Scope::Machine => {
            call.machine().await?;
            let instance = Instance::find(call.client, call.namespace, call.name).await?;
            let children = match instance {
                Some(instance) => vec![of_instance(call, &instance).await?],
                None => Vec::new(),
            };
            node(call, "kubevirt.io", "VirtualMachine", call.name, children)
        }
        _ => of_instance(call, &call.instance().await?).await?,
    };
    Ok(respond(StatusCode::OK, "application/json", tree.to_string()))
}

async fn of_instance(call: &Call<'_>, instance: &Instance) -> Result<Value, Refusal> {
    let select = Select::labels(format!("{}={}", label::CREATED_BY, instance.metadata.uid));
    let api = Api::<PartialObject>::of(call.client, resources::POD);
    let pods = api.list(&select.within(call.namespace)).await.map_err(Refusal::internal)?;
    let children = pods.iter().map(|pod| node(call, "", "Pod", &pod.metadata.name, Vec::new())).collect();
    Ok(node(call, "kubevirt.io", "VirtualMachineInstance", &instance.metadata.name, children))
}

fn node(call: &Call<'_>, group: &str, kind: &str, name: &str, children: Vec<Value>) -> Value {
    let mut node = json!({
        "objectReference": {"apiGroup": group, "kind": kind, "name": name, "namespace": call.namespace},
        "labels": {"kubevirt.io/dependency-type": "compute"},
    });
    if !children.is_empty() {
        node["children"] = children.into();
    }
    node
}
