//! Custom kinds: from a CustomResourceDefinition to served resources, and back to nothing.

use std::sync::Arc;

use machinery::condition::{self, Condition, ConditionStatus};
use machinery::gvk::Gvk;
use machinery::object;
use serde_json::{Value, json};

use super::kind::{Collection, Column, Resource, ScalePaths, Subresource, Verb};
use super::schema::SchemaSource;
use crate::ApiServer;
use crate::cache::{Entry, Facets, ObjectKey, stored_bytes};
use crate::conversion::Converter;
use crate::resource::storage::{self, CommitError, Intent};

/// Finalizer that holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The collection of the definitions themselves.
pub fn definitions() -> Collection {
    Collection::new("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Verbs of a custom resource, in the order in which its discovery lists them.
const VERBS: [Verb; 8] = [
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Create,
    Verb::Update,
    Verb::Watch,
];

fn text(value: &Value) -> Box<str> {
    value.as_str().unwrap_or_default().into()
}

fn texts(value: &Value) -> Box<[Box<str>]> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn collection_of(crd: &Value) -> Collection {
    Collection { group: text(&crd["spec"]["group"]), plural: text(&crd["spec"]["names"]["plural"]) }
}

/// Returns the served resources of a definition, one a version.
pub fn resources(crd: &Value) -> Vec<Arc<Resource>> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let versions = || spec["versions"].as_array().into_iter().flatten();
    let converter = Converter::read(crd);
    let storage = versions()
        .find(|version| version["storage"] == true)
        .map_or_else(Box::default, |version| text(&version["name"]));
    versions()
        .filter(|version| version["served"] == true)
        .map(|version| {
            let gvk = Gvk::new(&*text(&spec["group"]), &*text(&version["name"]), &*text(&names["kind"]));
            let schema = SchemaSource::custom(&version["schema"]["openAPIV3Schema"]).unwrap_or_else(|error| {
                tracing::error!(%error, definition = object::name(crd), "a stored schema is unreadable; fields are not checked");
                SchemaSource::none()
            });
            let api = gvk.api_version();
            let warning = match version["deprecationWarning"].as_str() {
                Some(warning) => warning.to_owned(),
                None => format!("{api} {} is deprecated", gvk.kind),
            };
            Arc::new(Resource {
                collection: collection_of(crd),
                storage_version: storage.clone(),
                conversion: converter.clone(),
                singular: text(&names["singular"]),
                list_kind: text(&names["listKind"]),
                short_names: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                verbs: VERBS.into(),
                subresources: subresources(&gvk, &version["subresources"]),
                schema,
                columns: columns(version),
                selectable_fields: version["selectableFields"].as_array().into_iter().flatten().map(|field| text(&field["jsonPath"])).collect(),
                scale: scale(&version["subresources"]["scale"]),
                custom: true,
                deprecation: (version["deprecated"] == true).then(|| warning.into()),
                gvk,
            })
        })
        .collect()
}

fn subresources(gvk: &Gvk, subresources: &Value) -> Box<[Subresource]> {
    let verbs = || [Verb::Get, Verb::Patch, Verb::Update].into();
    let mut list = Vec::new();
    if subresources["scale"].is_object() {
        let gvk = Gvk::new("autoscaling", "v1", "Scale");
        list.push(Subresource { name: "scale".into(), gvk, verbs: verbs() });
    }
    if subresources["status"].is_object() {
        list.push(Subresource { name: "status".into(), gvk: gvk.clone(), verbs: verbs() });
    }
    list.into()
}

fn scale(scale: &Value) -> Option<ScalePaths> {
    scale.is_object().then(|| ScalePaths {
        spec_replicas: text(&scale["specReplicasPath"]),
        status_replicas: text(&scale["statusReplicasPath"]),
        label_selector: scale["labelSelectorPath"].as_str().map(Into::into),
    })
}

fn columns(version: &Value) -> Box<[Column]> {
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    columns
        .map(|column| Column {
            name: text(&column["name"]),
            kind: text(&column["type"]),
            format: text(&column["format"]),
            description: text(&column["description"]),
            priority: column["priority"].as_i64().unwrap_or(0),
            json_path: text(&column["jsonPath"]),
        })
        .collect()
}

/// Serves the kinds of a definition as it is now.
pub(crate) fn register(server: &ApiServer, crd: &Value) {
    let collection = collection_of(crd);
    let resources = resources(crd);
    let mut fields: Vec<Box<str>> = Vec::new();
    for path in resources.iter().flat_map(|resource| &resource.selectable_fields) {
        let path = path.trim_start_matches('.');
        if !fields.iter().any(|field| **field == *path) {
            fields.push(path.into());
        }
    }
    server.caches().of(&collection).set_fields(fields.into());
    server.registry().set_custom(&collection, resources);
    if let Some(stored) = server.registry().snapshot().stored(&collection) {
        settle_stored(server, crd, stored);
    }
}

/// Brings what is stored into the form of a schema that changed: unknown fields go, defaults are filled in. Objects are
/// shown so from now on; they keep their revisions, and are written so when they are written next.
fn settle_stored(server: &ApiServer, crd: &Value, resource: &Resource) {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let schema = versions.filter(|version| version["storage"] == true).map(|version| &version["schema"]);
    let mark = schema.map(Value::to_string).collect();
    server.caches().of(&resource.collection).settle(mark, |object| in_form(resource, object));
}

/// An object that was written in the stored version of a kind, in the form of that version's schema now.
fn in_form(stored: &Resource, mut object: Value) -> Option<Value> {
    if object::api_version(&object) != stored.api_version() {
        return None;
    }
    stored.schema.settle(&mut object).ok()?;
    stored.schema.default(&mut object);
    Some(object)
}

/// The entry as the cache would hold it, which is read from the store instead.
pub(crate) fn shown(stored: &Resource, entry: &Entry, fields: &[Box<str>]) -> Option<Entry> {
    let object = in_form(stored, entry.parse().ok()?)?;
    let facets = Arc::new(Facets::of(&object, fields));
    Some(entry.in_form(&object, facets))
}

/// Acts on a stored definition: accepts its names and serves it, or empties it when it is being deleted.
pub(crate) fn changed(server: &ApiServer, crd: &Value) {
    let server = server.clone();
    let crd = crd.clone();
    // A definition whose names are settled is served with the answer to its write, not some time later.
    if condition::is_true(&crd, "Established") {
        register(&server, &crd);
    }
    tokio::spawn(async move {
        let key = ObjectKey::new("", object::name(&crd));
        if object::is_being_deleted(&crd) {
            clean_up(&server, &key, &crd).await;
        } else {
            establish(&server, &key).await;
        }
    });
}

/// Stops serving a definition that is gone.
pub(crate) fn removed(server: &ApiServer, crd: &Value) {
    let collection = collection_of(crd);
    server.registry().set_custom(&collection, Vec::new());
    server.caches().remove(&collection);
}

/// Settles the names and the conditions of a definition, then serves it.
pub(crate) async fn establish(server: &ApiServer, key: &ObjectKey) {
    loop {
        let Some(entry) = server.object(&definitions(), key) else { return };
        let Ok(mut crd) = entry.parse() else { return };
        if object::is_being_deleted(&crd) {
            return;
        }
        let conflict = conflict(server, &crd);
        if !settle(server, &mut crd, conflict.as_ref()) {
            if conflict.is_none() {
                register(server, &crd);
            }
            return;
        }
        match storage::commit(server, &definitions(), key, Some(entry.revision), Intent::Put(&crd)).await {
            Ok(_) => {
                if conflict.is_none() {
                    register(server, &crd);
                }
                return;
            }
            Err(CommitError::Conflict) => {}
            Err(CommitError::Failed(status)) => {
                tracing::error!(%status, definition = %key.name, "cannot establish a CustomResourceDefinition");
                return;
            }
        }
    }
}

/// Says which other kind of the group has one of the names.
fn conflict(server: &ApiServer, crd: &Value) -> Option<(&'static str, String)> {
    let mine = collection_of(crd);
    let names = &crd["spec"]["names"];
    let snapshot = server.registry().snapshot();
    let others = snapshot
        .resources()
        .filter(|resource| resource.group() == &*mine.group && resource.collection != mine);
    for other in others {
        let short =
            |taken: &str| names["shortNames"].as_array().into_iter().flatten().any(|name| *name == *taken);
        let taken = [
            ("ListKindConflict", names["listKind"] == *other.list_kind, &*other.list_kind),
            ("KindConflict", names["kind"] == other.kind(), other.kind()),
            ("ShortNamesConflict", other.short_names.iter().any(|name| short(name)), "a short name"),
            ("SingularConflict", names["singular"] == *other.singular, &*other.singular),
        ];
        if let Some((reason, _, name)) = taken.into_iter().find(|(_, same, _)| *same) {
            return Some((reason, format!("{name:?} is already in use")));
        }
    }
    None
}

/// Writes names and conditions into the status; returns whether that changed anything.
fn settle(server: &ApiServer, crd: &mut Value, conflict: Option<&(&'static str, String)>) -> bool {
    let now = server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let before = crd["status"].clone();
    let names = crd["spec"]["names"].clone();
    let status = &mut crd["status"];
    if conflict.is_none() {
        status["acceptedNames"] = names;
    }
    let make = |kind: &str, status: ConditionStatus, reason: &str, message: &str| Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let conditions = match conflict {
        None => [
            make("NamesAccepted", ConditionStatus::True, "NoConflicts", "no conflicts found"),
            make(
                "Established",
                ConditionStatus::True,
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ],
        Some((reason, why)) => [
            make("NamesAccepted", ConditionStatus::False, reason, why),
            make("Established", ConditionStatus::False, "NotAccepted", "not all names are accepted"),
        ],
    };
    for wanted in conditions {
        condition::set(&mut status["conditions"], &wanted, &now);
    }
    *status != before
}

/// Marks a definition for removal.
pub(crate) fn begin_delete(server_now: &str, draft: &mut Value) {
    let mut finalizers: Vec<String> = object::finalizers(draft).map(str::to_owned).collect();
    if !finalizers.iter().any(|finalizer| finalizer == CLEANUP) {
        finalizers.push(CLEANUP.to_owned());
        object::set_finalizers(draft, &finalizers);
    }
    let terminating = Condition {
        kind: "Terminating".to_owned(),
        status: ConditionStatus::True,
        reason: "InstanceDeletionPending".to_owned(),
        message: "CustomResourceDefinition marked for deletion; its objects will be deleted".to_owned(),
    };
    if draft["status"].is_null() {
        draft["status"] = json!({});
    }
    condition::set(&mut draft["status"]["conditions"], &terminating, server_now);
}

/// How long to wait between looks at objects that finalizers hold.
const HELD: std::time::Duration = std::time::Duration::from_millis(500);

/// Deletes the objects of a definition, waits until they are gone, and lets the definition go.
async fn clean_up(server: &ApiServer, key: &ObjectKey, crd: &Value) {
    let collection = collection_of(crd);
    loop {
        let (entries, _) = server.caches().of(&collection).snapshot("");
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            delete_instance(server, &collection, entry).await;
        }
        if server.caches().of(&collection).is_empty() {
            break;
        }
        server.clock().sleep(HELD).await;
    }
    loop {
        let Some(entry) = server.object(&definitions(), key) else { return };
        let Ok(mut crd) = entry.parse() else { return };
        let rest: Vec<String> =
            object::finalizers(&crd).filter(|finalizer| *finalizer != CLEANUP).map(str::to_owned).collect();
        object::set_finalizers(&mut crd, &rest);
        let last =
            Entry::new(entry.key.clone(), entry.revision, &stored_bytes(&crd), Arc::clone(&entry.facets));
        let intent = if rest.is_empty() { Intent::Remove(&last) } else { Intent::Put(&crd) };
        match storage::commit(server, &definitions(), key, Some(entry.revision), intent).await {
            Ok(_) if rest.is_empty() => return removed(server, &crd),
            Err(CommitError::Conflict) => {}
            _ => return,
        }
    }
}

async fn delete_instance(server: &ApiServer, collection: &Collection, entry: &Arc<Entry>) {
    let Ok(mut instance) = entry.parse() else { return };
    let held = object::finalizers(&instance).next().is_some();
    if held && object::is_being_deleted(&instance) {
        return;
    }
    let now = server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    object::set_meta(&mut instance, "deletionTimestamp", now);
    object::set_meta(&mut instance, "deletionGracePeriodSeconds", 0);
    let intent = if held { Intent::Put(&instance) } else { Intent::Remove(entry) };
    // A conflict means that somebody else changed it; the next round sees the result.
    let _ = storage::commit(server, collection, &entry.key, Some(entry.revision), intent).await;
}
