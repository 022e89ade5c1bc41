//! Reads what there is about a machine. What a user may not read is told, and the rest is explained without it.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use serde_json::Value;

use super::Facts;
use super::facts::text;
use crate::api::{Api, CallError};
use crate::request::{Kind, Request};

/// Reads the objects of a machine, or of an instance that has none.
///
/// # Errors
/// When neither exists, or may be read.
pub(crate) async fn facts(api: &Api, name: &str, now: Timestamp) -> Result<Facts> {
    let machine = found(api, Kind::Machine, name).await;
    let machine = machine.map_err(|error| anyhow!("error reading VirtualMachine {name}: {error}"))?;
    let instance = found(api, Kind::Instance, name).await;
    let instance =
        instance.map_err(|error| anyhow!("error reading VirtualMachineInstance {name}: {error}"))?;
    if machine.is_null() && instance.is_null() {
        return Err(anyhow!(
            "there is no VirtualMachine {name} in namespace {}; `virtctl list --all-namespaces` shows those of all",
            api.namespace
        ));
    }
    let mut facts = Facts { name: name.to_owned(), machine, instance, now, ..Facts::default() };
    let uid = text(&facts.instance, "/metadata/uid").to_owned();
    if !uid.is_empty() {
        let pods = Request::list(Some(&api.namespace), Kind::Pod)?
            .with_parameter("labelSelector", format!("kubevirt.io/created-by={uid}"));
        facts.pods = items(api, &pods, &mut facts.unread, "Pods").await;
    }
    let node = text(&facts.instance, "/status/nodeName").to_owned();
    if !node.is_empty() {
        facts.node = optional(
            api,
            Request::of_cluster(Kind::Node, &node)?,
            &mut facts.unread,
            &format!("Node {node}"),
        )
        .await;
    }
    storage(api, &mut facts).await?;
    events(api, &mut facts).await?;
    Ok(facts)
}

/// Reads an object; `null` when there is none.
async fn found(api: &Api, kind: Kind, name: &str) -> Result<Value, CallError> {
    match api.read(&Request::object(&api.namespace, kind, name)?).await {
        Err(error) if error.code() == Some(404) => Ok(Value::Null),
        outcome => outcome,
    }
}

async fn optional(api: &Api, request: Request, unread: &mut Vec<String>, what: &str) -> Value {
    match api.read(&request).await {
        Ok(object) => object,
        Err(error) => {
            if error.code() != Some(404) {
                unread.push(format!("{what}: {error}"));
            }
            Value::Null
        }
    }
}

async fn items(api: &Api, request: &Request, unread: &mut Vec<String>, what: &str) -> Vec<Value> {
    match optional(api, request.clone(), unread, what).await["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

async fn storage(api: &Api, facts: &mut Facts) -> Result<()> {
    for (kind, name) in facts.storage() {
        // A DataVolume fills a claim of its own name.
        let claim = Request::object(&api.namespace, Kind::Claim, &name)?;
        let what = format!("PersistentVolumeClaim {name}");
        let claim = optional(api, claim, &mut facts.unread, &what).await;
        facts.claims.extend(claim.is_object().then_some(claim));
        if kind == "DataVolume" {
            let data = Request::object(&api.namespace, Kind::DataVolume, &name)?;
            let data = optional(api, data, &mut facts.unread, &format!("DataVolume {name}")).await;
            facts.data_volumes.extend(data.is_object().then_some(data));
        }
    }
    Ok(())
}

/// Reads the Events of all objects that were found. Who had the same name before is another.
async fn events(api: &Api, facts: &mut Facts) -> Result<()> {
    let objects = [&facts.machine, &facts.instance].into_iter().chain(&facts.pods).chain(&facts.claims);
    let objects = objects.chain(&facts.data_volumes);
    let known: Vec<(String, String)> = objects
        .map(|object| (text(object, "/metadata/name").to_owned(), text(object, "/metadata/uid").to_owned()))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let mut names: Vec<&String> = known.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let request = Request::list(Some(&api.namespace), Kind::Event)?
            .with_parameter("fieldSelector", format!("involvedObject.name={name}"));
        let found = items(api, &request, &mut facts.unread, "Events").await;
        facts.events.extend(found.into_iter().filter(|event| {
            let uid = text(event, "/involvedObject/uid");
            let kind = text(event, "/involvedObject/kind");
            // Earlier runs of the machine belong to its story, too.
            uid.is_empty() || kind == "VirtualMachineInstance" || known.iter().any(|(_, known)| known == uid)
        }));
    }
    facts.unread.dedup();
    Ok(())
}
