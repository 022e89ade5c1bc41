//! Keeps the objects of priority and fairness as they must be, says in the condition `Dangling` of a FlowSchema whether its
//! level exists, and gives seats out again by what levels need.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use machinery::object;
use serde_json::{Value, json};

use super::objects::{self, Own};
use super::{GROUP, LEVELS, SCHEMAS};
use crate::ApiServer;
use crate::cache::ObjectKey;
use crate::registry::Collection;
use crate::resource::bootstrap;
use crate::resource::storage::{self, CommitError, Intent};
use crate::server::{StartError, WeakServer};

/// Between two looks whether an object changed.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two times that seats are given out again: ten seconds, as in kube-apiserver.
const ADJUST: u32 = 20;

/// Looks after objects and seats until the server is gone.
pub(crate) async fn run(server: WeakServer) {
    let (mut seen, mut age) = (None, 0);
    loop {
        let Some(strong) = server.upgrade() else { return };
        let now = super::changed(strong.caches());
        if seen != Some(now) {
            if let Err(error) = settle(&strong).await {
                tracing::error!(%error, "cannot keep priority levels and flow schemas, will try again");
            } else {
                seen = Some(now);
            }
        }
        age += 1;
        if age >= ADJUST {
            strong.flow().adjust();
            age = 0;
        }
        let clock = Arc::clone(strong.clock());
        drop(strong);
        clock.sleep(LOOK).await;
    }
}

/// Has all objects there and as they must be.
pub(crate) async fn settle(server: &ApiServer) -> Result<(), StartError> {
    let own = objects::all();
    future::try_join_all(own.iter().map(|own| ensure(server, own))).await?;
    for plural in [LEVELS, SCHEMAS] {
        for entry in server.caches().of(&Collection::new(GROUP, plural)).snapshot("").0 {
            let Ok(object) = entry.parse() else { continue };
            let is_own = own.iter().any(|own| own.plural == plural && own.name() == &*entry.key.name);
            if !is_own && objects::is_kept(&object) == Some(true) {
                // An earlier release had it.
                write(server, plural, &entry.key, Some(entry.revision), Intent::Remove(&entry)).await?;
            } else if plural == SCHEMAS
                && let Some(noted) = judged(server, object)
            {
                write(server, plural, &entry.key, Some(entry.revision), Intent::Put(&noted)).await?;
            }
        }
    }
    Ok(())
}

async fn ensure(server: &ApiServer, own: &Own) -> Result<(), StartError> {
    let key = ObjectKey::new("", own.name());
    let collection = Collection::new(GROUP, own.plural);
    let Some(entry) = server.object(&collection, &key) else {
        let mut content = own.content.clone();
        if own.plural == SCHEMAS {
            // Its level is made at the same time.
            note(server, &mut content, true);
        }
        return bootstrap::ensure(server, GROUP, own.plural, "", own.name(), content).await;
    };
    let Some(revised) = entry.parse().ok().and_then(|existing| own.revise(&existing)) else { return Ok(()) };
    write(server, own.plural, &key, Some(entry.revision), Intent::Put(&revised)).await
}

/// Writes; who changed the object meanwhile is seen with the next look.
async fn write(
    server: &ApiServer,
    plural: &str,
    key: &ObjectKey,
    expected: Option<u64>,
    intent: Intent<'_>,
) -> Result<(), StartError> {
    match storage::commit(server, &Collection::new(GROUP, plural), key, expected, intent).await {
        Ok(_) | Err(CommitError::Conflict) => Ok(()),
        Err(CommitError::Failed(status)) => {
            Err(StartError::Bootstrap { what: format!("{plural}/{}", key.name), status })
        }
    }
}

/// A FlowSchema with what is to say of its level, if that is not said yet.
fn judged(server: &ApiServer, mut schema: Value) -> Option<Value> {
    let level = object::str_at(&schema, &["spec", "priorityLevelConfiguration", "name"]);
    let found = server.object(&Collection::new(GROUP, LEVELS), &ObjectKey::new("", level)).is_some();
    note(server, &mut schema, found).then_some(schema)
}

/// Sets the condition `Dangling`; returns whether it was another.
fn note(server: &ApiServer, schema: &mut Value, found: bool) -> bool {
    let level = object::str_at(schema, &["spec", "priorityLevelConfiguration", "name"]);
    let references =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if found {
        ("False", "Found", format!("{references} and it exists"))
    } else {
        ("True", "NotFound", format!("{references} but there is no such object"))
    };
    let now = server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let wanted = json!({"type": "Dangling", "status": status, "lastTransitionTime": now,
        "reason": reason, "message": message});
    if !schema["status"].is_object() {
        schema["status"] = json!({});
    }
    let conditions = &mut schema["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return false };
    match conditions.iter_mut().find(|condition| condition["type"] == "Dangling") {
        Some(held) if ["status", "reason", "message"].iter().all(|field| held[*field] == wanted[*field]) => {
            return false;
        }
        Some(held) => *held = wanted,
        None => conditions.push(wanted),
    }
    true
}
