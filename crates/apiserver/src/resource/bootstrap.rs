//! What every server holds from its first start on: namespaces, priority classes, the API's own Service.

use std::sync::Arc;

use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::storage::{self, CommitError, Intent};
use crate::ApiServer;
use crate::cache::ObjectKey;
use crate::registry::{Collection, Resource, crd};
use crate::server::StartError;

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Brings a server into its first state, or on a later start into the state it had.
pub(crate) async fn run(server: &ApiServer, crds: Vec<Value>) -> Result<(), StartError> {
    let own: Vec<String> = server.settings().namespaces.clone();
    for name in NAMESPACES.iter().map(ToString::to_string).chain(own) {
        let namespace = json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            "metadata": {"labels": {"kubernetes.io/metadata.name": name}}});
        ensure(server, "", "namespaces", "", &name, namespace).await?;
    }
    for (name, value, text) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "For Pods that the cluster needs, on whichever node they are.",
        ),
        ("system-node-critical", 2_000_001_000, "For Pods that their node needs."),
    ] {
        let class = json!({"value": value, "description": text, "preemptionPolicy": "PreemptLowerPriority",
            "metadata": {"generation": 1}});
        ensure(server, "scheduling.k8s.io", "priorityclasses", "", name, class).await?;
    }
    own_service(server).await?;
    roles(server).await?;
    install(server, crds).await?;
    // Definitions of an earlier start are served before the first request.
    for entry in server.caches().of(&crd::definitions()).snapshot("").0 {
        crd::establish(server, &entry.key).await;
    }
    for entry in server.caches().of(&Collection::new("", "services")).snapshot("").0 {
        if let Ok(service) = entry.parse() {
            server.allocator().hold(&service);
        }
    }
    Ok(())
}

async fn own_service(server: &ApiServer) -> Result<(), StartError> {
    let address = server.allocator().first().to_string();
    let service = json!({
        "metadata": {"labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}],
        },
        "status": {"loadBalancer": {}},
    });
    ensure(server, "", "services", "default", "kubernetes", service).await
}

/// Creates the roles and bindings that every server has, and adds to existing ones what is new in this release.
async fn roles(server: &ApiServer) -> Result<(), StartError> {
    for wanted in crate::auth::bootstrap::objects() {
        let kind = object::kind(&wanted);
        let collection = Collection::new(crate::auth::rbac::GROUP, &format!("{}s", kind.to_lowercase()));
        let key = ObjectKey::new("", object::name(&wanted));
        let existing = server.object(&collection, &key);
        let revision = existing.as_ref().map(|entry| entry.revision);
        let parsed = existing.and_then(|entry| entry.parse().ok());
        let Some(mut draft) = crate::auth::bootstrap::reconcile(parsed.as_ref(), &wanted) else { continue };
        if revision.is_none() {
            let resource = stored(server, &collection)?;
            complete(server, &resource, &key, &mut draft);
        }
        match storage::commit(server, &collection, &key, revision, Intent::Put(&draft)).await {
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(CommitError::Failed(status)) => return Err(failure(&collection.plural, &key.name, status)),
        }
    }
    Ok(())
}

/// Creates an object unless it exists.
pub(crate) async fn ensure(
    server: &ApiServer,
    group: &str,
    plural: &str,
    namespace: &str,
    name: &str,
    mut content: Value,
) -> Result<(), StartError> {
    let collection = Collection::new(group, plural);
    let key = ObjectKey::new(namespace, name);
    if server.object(&collection, &key).is_some() {
        return Ok(());
    }
    let resource = stored(server, &collection)?;
    complete(server, &resource, &key, &mut content);
    match storage::commit(server, &collection, &key, None, Intent::Put(&content)).await {
        Ok(_) | Err(CommitError::Conflict) => Ok(()),
        Err(CommitError::Failed(status)) => Err(failure(plural, name, status)),
    }
}

fn failure(plural: &str, name: &str, status: Box<Status>) -> StartError {
    StartError::Bootstrap { what: format!("{plural}/{name}"), status }
}

fn stored(server: &ApiServer, collection: &Collection) -> Result<Arc<Resource>, StartError> {
    let snapshot = server.registry().snapshot();
    snapshot.stored(collection).cloned().ok_or_else(|| {
        let status = Status::internal(format!("{collection} is not a built-in resource"));
        failure(&collection.plural, "", status.into())
    })
}

/// Adds kind and metadata to an object's content.
fn complete(server: &ApiServer, resource: &Resource, key: &ObjectKey, content: &mut Value) {
    object::set_gvk(content, &resource.gvk);
    object::set_meta(content, "name", &*key.name);
    if !key.namespace.is_empty() {
        object::set_meta(content, "namespace", &*key.namespace);
    }
    object::set_meta(content, "uid", server.entropy().uuid());
    object::set_meta(content, "creationTimestamp", server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
}

/// Creates the given definitions, or brings existing ones of the same name up to date.
async fn install(server: &ApiServer, crds: Vec<Value>) -> Result<(), StartError> {
    let collection = crd::definitions();
    let resource = stored(server, &collection)?;
    for mut wanted in crds {
        let name = object::name(&wanted).to_owned();
        let key = ObjectKey::new("", &name);
        resource.schema.default(&mut wanted);
        let (expected, draft) = match server.object(&collection, &key) {
            None => {
                let mut draft = wanted;
                complete(server, &resource, &key, &mut draft);
                object::set_meta(&mut draft, "generation", 1);
                draft["status"] = json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}});
                (None, draft)
            }
            Some(entry) => {
                let Ok(mut draft) = entry.parse() else { continue };
                if draft["spec"] == wanted["spec"] {
                    continue;
                }
                draft["spec"] = wanted["spec"].clone();
                let generation = object::generation(&draft) + 1;
                object::set_meta(&mut draft, "generation", generation);
                (Some(entry.revision), draft)
            }
        };
        let draft = with_storage_version(draft);
        match storage::commit(server, &collection, &key, expected, Intent::Put(&draft)).await {
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(CommitError::Failed(status)) => {
                return Err(failure("customresourcedefinitions", &name, status));
            }
        }
    }
    Ok(())
}

/// Notes the present storage version among those that objects may be stored in.
fn with_storage_version(mut crd: Value) -> Value {
    let versions = crd["spec"]["versions"].as_array().cloned().unwrap_or_default();
    let mut stored = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in versions.iter().filter(|version| version["storage"] == true) {
        if !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    crd["status"]["storedVersions"] = stored.into();
    crd
}
