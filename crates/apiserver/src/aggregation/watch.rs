//! Keeps `APIService` objects and what is served in step: objects for what this server answers itself, conditions, and the
//! versions that others answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use machinery::object;
use serde_json::{Value, json};

use super::availability::{self, Finding};
use super::front;
use super::local::{self, MANAGED};
use super::remote::Remote;
use super::{Aggregation, services};
use crate::cache::ObjectKey;
use crate::registry::{Collection, RemoteVersion};
use crate::resource::bootstrap;
use crate::resource::storage::{self, Intent};
use crate::server::WeakServer;
use crate::{ApiServer, Result};

/// Between two looks whether something changed.
const LOOK: Duration = Duration::from_millis(500);
/// Looks after which others are asked again although nothing changed.
const ASK: u32 = 20;

/// Looks after all objects until the server is gone.
pub(crate) async fn run(server: WeakServer) {
    let (mut seen, mut age) = (None, 0);
    loop {
        let Some(strong) = server.upgrade() else { return };
        let now = picture(&strong);
        if seen != Some(now) || age >= ASK {
            if let Some(aggregation) = strong.aggregation() {
                settle(&strong, aggregation).await;
            }
            (seen, age) = (Some(now), 0);
        }
        age += 1;
        let clock = Arc::clone(strong.clock());
        drop(strong);
        clock.sleep(LOOK).await;
    }
}

/// What all this follows from, by the revisions at which it changed.
fn picture(server: &ApiServer) -> [u64; 6] {
    let changed = |group: &str, plural: &str| server.caches().of(&Collection::new(group, plural)).changed();
    [
        server.caches().of(&services()).changed(),
        changed("", "services"),
        changed("", "endpoints"),
        changed("discovery.k8s.io", "endpointslices"),
        changed("apiextensions.k8s.io", "customresourcedefinitions"),
        server.object(&Collection::new("", "configmaps"), &published_at()).map_or(0, |entry| entry.revision),
    ]
}

fn published_at() -> ObjectKey {
    ObjectKey::new(front::NAMESPACE, front::NAME)
}

async fn settle(server: &ApiServer, aggregation: &Aggregation) {
    if let Err(status) = publish(server, aggregation).await {
        tracing::error!(%status, "cannot publish how this server shows itself to others, will try again");
    }
    if let Err(status) = keep_local(server).await {
        tracing::error!(%status, "cannot write the APIServices of this server's own versions, will try again");
    }
    let mut versions = Vec::new();
    let mut routes = HashMap::new();
    for entry in server.caches().of(&services()).snapshot("").0 {
        let Ok(object) = entry.parse() else { continue };
        let (finding, version) = look(server, aggregation, &object).await;
        if let Some(version) = version {
            let remote = Remote::read(&object, finding.available);
            routes.extend(
                remote.map(|remote| ((remote.group.clone(), remote.version.clone()), Arc::new(remote))),
            );
            versions.push(version);
        }
        let mut noted = object;
        if finding.note(&mut noted, &server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()) {
            // Who wrote it meanwhile is seen with the next look.
            drop(
                storage::commit(server, &services(), &entry.key, Some(entry.revision), Intent::Put(&noted))
                    .await,
            );
        }
    }
    *aggregation.routes.write() = routes;
    server.registry().set_remote(versions);
}

/// What is to say of an `APIService`, and what it brings if others answer it.
async fn look(
    server: &ApiServer,
    aggregation: &Aggregation,
    object: &Value,
) -> (Finding, Option<RemoteVersion>) {
    let front = aggregation.front();
    let Some(remote) = Remote::read(object, true) else { return (Finding::local(), None) };
    let (finding, list) = availability::check(server, front, &remote).await;
    let before = server.registry().snapshot();
    let known = before.group(&remote.group).and_then(|group| {
        group.versions.iter().find(|version| version.version == remote.version && version.remote.is_some())
    });
    let (resources, openapi) = match list {
        Some(list) => {
            let index = availability::ask(server, front, &remote, "/openapi/v3").await.unwrap_or_default();
            let path = format!("apis/{}/{}", remote.group, remote.version);
            let url = index["paths"][path]["serverRelativeURL"].as_str().map(Box::from);
            (list["resources"].as_array().cloned().unwrap_or_default(), url)
        }
        // What it was is shown as stale.
        None => (
            known.map(|version| version.foreign.clone()).unwrap_or_default(),
            known.and_then(|version| version.remote.clone()).and_then(|remote| remote.openapi),
        ),
    };
    let version = RemoteVersion {
        group: remote.group,
        version: remote.version,
        priority: remote.priority,
        resources,
        remote: crate::registry::RemoteFacts { stale: !finding.available, openapi },
    };
    (finding, Some(version))
}

/// Writes the ConfigMap that other programs read.
async fn publish(server: &ApiServer, aggregation: &Aggregation) -> Result<()> {
    let (maps, key) = (Collection::new("", "configmaps"), published_at());
    let wanted = aggregation.front().published();
    let Some(entry) = server.object(&maps, &key) else {
        let content = json!({"data": wanted});
        let made = bootstrap::ensure(server, "", "configmaps", front::NAMESPACE, front::NAME, content).await;
        return made.map_err(|error| machinery::status::Status::internal(error.to_string()).into());
    };
    let Ok(mut object) = entry.parse() else { return Ok(()) };
    let mut data = object["data"].clone();
    for (field, value) in wanted.as_object().into_iter().flatten() {
        data[field.as_str()] = value.clone();
    }
    if data != object["data"] {
        object["data"] = data;
        drop(storage::commit(server, &maps, &key, Some(entry.revision), Intent::Put(&object)).await);
    }
    Ok(())
}

/// Has an object for each version that is answered here, and none for definitions that are gone.
async fn keep_local(server: &ApiServer) -> Result<()> {
    let snapshot = server.registry().snapshot();
    let wanted = local::objects(&snapshot);
    let there = server.caches().of(&services()).snapshot("").0;
    for (name, content) in &wanted {
        if !there.iter().any(|entry| *entry.key.name == **name) {
            let made =
                bootstrap::ensure(server, super::GROUP, "apiservices", "", name, content.clone()).await;
            made.map_err(|error| machinery::status::Status::internal(error.to_string()))?;
        }
    }
    for entry in there {
        let Ok(object) = entry.parse() else { continue };
        let managed = object::label(&object, MANAGED) == Some("true");
        let is_wanted = wanted.iter().any(|(name, _)| *entry.key.name == **name);
        if managed && !is_wanted && !object["spec"]["service"].is_object() {
            let intent = Intent::Remove(&entry);
            drop(storage::commit(server, &services(), &entry.key, Some(entry.revision), intent).await);
        }
    }
    Ok(())
}
