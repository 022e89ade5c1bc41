//! What the control plane consists of, as old clients ask for it: of what Kubernetes tells here, only the store can fail
//! while somebody answers. The objects are made when they are asked for; none is kept.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::json;

use super::Call;
use super::options::ListOptions;
use super::present::{self, ListMeta};
use crate::cache::{Entry, Facets, ObjectKey, stored_bytes};
use crate::registry::Resource;
use crate::{Body, Result, health};

/// Whether a resource is that of components.
pub(crate) fn are(resource: &Resource) -> bool {
    resource.group().is_empty() && resource.plural() == "componentstatuses"
}

/// Answers a get.
pub(crate) async fn get(call: &Call) -> Result<Response<Body>> {
    let store = store(call).await;
    if store.key != call.key() {
        return Err(call.not_found(&call.info.name));
    }
    present::object(call, StatusCode::OK, &store)
}

/// Answers a list.
pub(crate) async fn list(call: &Call) -> Result<Response<Body>> {
    let options = ListOptions::parse(call, false)?;
    let store = store(call).await;
    let names = call.server.caches().of(&call.resource.collection).fields();
    let meant = options.selection.matches(&store.key, &store.facets, &names);
    let meta = ListMeta { revision: call.server.caches().applied(), ..ListMeta::default() };
    let found: &[Arc<Entry>] = if meant { &[Arc::new(store)] } else { &[] };
    present::list(call, found, &meta)
}

/// What keeps the objects, under the name that Kubernetes has for the first server of its store.
async fn store(call: &Call) -> Entry {
    const NAME: &str = "etcd-0";
    let (status, message) = if health::store_answers(&call.server).await {
        ("True", "ok")
    } else {
        ("False", "the store does not answer; `ironclad status` says more")
    };
    let object = json!({
        "kind": call.resource.kind(), "apiVersion": call.resource.api_version(), "metadata": {"name": NAME},
        "conditions": [{"type": "Healthy", "status": status, "message": message}],
    });
    let facets = Arc::new(Facets::default());
    let bytes = stored_bytes(&object).into();
    Entry { key: ObjectKey::new("", NAME), revision: 0, bytes, facets, written: None }
}
