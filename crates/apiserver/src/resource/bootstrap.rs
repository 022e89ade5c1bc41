//! What every server holds from its first start on: namespaces, priority classes, the API's own Service, roles.
//!
//! While it runs, [`keep`] makes again what somebody removed.

use std::sync::Arc;
use std::time::Duration;

use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::storage::{self, CommitError, Intent};
use crate::ApiServer;
use crate::cache::ObjectKey;
use crate::registry::{Collection, Resource, crd};
use crate::server::{StartError, WeakServer};

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// How often it is looked for what is missing. Who replaces an object by deleting and creating it is quicker.
const LOOK: Duration = Duration::from_secs(2);

/// An object that every server has.
#[derive(Debug)]
struct Own {
    collection: Collection,
    key: ObjectKey,
    content: Value,
}

impl Own {
    fn new(group: &str, plural: &str, namespace: &str, name: &str, content: Value) -> Self {
        let (collection, key) = (Collection::new(group, plural), ObjectKey::new(namespace, name));
        Self { collection, key, content }
    }

    fn is_there(&self, server: &ApiServer) -> bool {
        server.object(&self.collection, &self.key).is_some()
    }

    async fn ensure(&self, server: &ApiServer) -> Result<(), StartError> {
        let Self { collection, key, content } = self;
        ensure(server, &collection.group, &collection.plural, &key.namespace, &key.name, content.clone())
            .await
    }
}

/// Brings a server into its first state, or on a later start into the state it had.
pub(crate) async fn run(server: &ApiServer, crds: Vec<Value>) -> Result<(), StartError> {
    for own in objects(server) {
        own.ensure(server).await?;
    }
    for wanted in roles() {
        bring_up_to_date(server, &wanted).await?;
    }
    install(server, crds).await?;
    // Definitions of an earlier start are served before the first request.
    for entry in server.caches().of(&crd::definitions()).snapshot("").0 {
        crd::establish(server, &entry.key).await;
    }
    crate::admission::check_all_types(server);
    for entry in server.caches().of(&Collection::new("", "services")).snapshot("").0 {
        if let Ok(service) = entry.parse() {
            server.allocator().hold(&service);
        }
    }
    Ok(())
}

/// Makes again what every server has and somebody removed, until the server is gone.
pub(crate) async fn keep(server: WeakServer) {
    let Some(mut own) = server.upgrade().map(|server| objects(&server)) else { return };
    own.extend(roles());
    loop {
        let Some(clock) = server.upgrade().map(|server| Arc::clone(server.clock())) else { return };
        clock.sleep(LOOK).await;
        let Some(server) = server.upgrade() else { return };
        for own in own.iter().filter(|own| !own.is_there(&server)) {
            let what = format!("{}/{}", own.collection.plural, own.key.name);
            if let Err(error) = own.ensure(&server).await {
                tracing::error!(what, %error, "cannot make again what every cluster has, will try again");
                continue;
            }
            server.allocator().hold(&own.content);
            tracing::warn!(what, "every cluster has it: what was deleted is made again");
        }
    }
}

/// Returns what is there from the start and then its users' to change.
fn objects(server: &ApiServer) -> Vec<Own> {
    let namespaces = NAMESPACES.into_iter().chain(server.settings().namespaces.iter().map(String::as_str));
    let namespaces = namespaces.map(|name| {
        let content = json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            "metadata": {"labels": {"kubernetes.io/metadata.name": name}}});
        Own::new("", "namespaces", "", name, content)
    });
    let classes = [
        (
            "system-cluster-critical",
            2_000_000_000,
            "For Pods that the cluster needs, on whichever node they are.",
        ),
        ("system-node-critical", 2_000_001_000, "For Pods that their node needs."),
    ];
    let classes = classes.map(|(name, value, text)| {
        let content = json!({"value": value, "description": text, "preemptionPolicy": "PreemptLowerPriority",
            "metadata": {"generation": 1}});
        Own::new("scheduling.k8s.io", "priorityclasses", "", name, content)
    });
    namespaces.chain(classes).chain([own_service(server)]).collect()
}

fn own_service(server: &ApiServer) -> Own {
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
    Own::new("", "services", "default", "kubernetes", service)
}

/// Returns the roles and bindings that every server has.
fn roles() -> Vec<Own> {
    let own = crate::auth::bootstrap::objects().into_iter().map(|wanted| {
        let plural = format!("{}s", object::kind(&wanted).to_lowercase());
        let (namespace, name) = (object::namespace(&wanted).to_owned(), object::name(&wanted).to_owned());
        Own::new(crate::auth::rbac::GROUP, &plural, &namespace, &name, wanted)
    });
    own.collect()
}

/// Creates a role or binding, or adds to an existing one what is new in this release.
async fn bring_up_to_date(server: &ApiServer, own: &Own) -> Result<(), StartError> {
    let Own { collection, key, content } = own;
    let Some(entry) = server.object(collection, key) else { return own.ensure(server).await };
    let existing = entry.parse().ok();
    let Some(draft) = crate::auth::bootstrap::reconcile(existing.as_ref(), content) else { return Ok(()) };
    match storage::commit(server, collection, key, Some(entry.revision), Intent::Put(&draft)).await {
        Ok(_) | Err(CommitError::Conflict) => Ok(()),
        Err(CommitError::Failed(status)) => Err(failure(&collection.plural, &key.name, status)),
    }
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

/// Creates the given definitions, or brings existing ones of the same name up to date; those that somebody else made stay.
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
                if draft["spec"] == wanted["spec"] || is_of_others(&draft, &wanted) {
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

/// Whether a definition that says who manages it stands there already, made by somebody else.
fn is_of_others(found: &Value, wanted: &Value) -> bool {
    let manager = |crd: &Value| crd["metadata"]["labels"]["app.kubernetes.io/managed-by"].clone();
    !manager(wanted).is_null() && manager(found) != manager(wanted)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_that_somebody_else_brought_stay() {
        let by = |manager: &str| json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": manager}}});
        let nobody = json!({"metadata": {"labels": {"kubevirt.io": ""}}});
        assert!(!is_of_others(&by("ironclad"), &by("ironclad")));
        assert!(is_of_others(&by("cdi-operator"), &by("ironclad")) && is_of_others(&nobody, &by("ironclad")));
        assert!(!is_of_others(&nobody, &nobody), "what nobody manages is brought up to date");
    }
}
