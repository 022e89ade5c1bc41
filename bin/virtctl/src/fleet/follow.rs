//! Changes of machines and instances as they come.

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;

use super::{Choice, Fleet, Key};
use crate::api::Api;
use crate::request::Kind;

/// A change of one kind of objects.
#[derive(Debug)]
pub(crate) enum Change {
    /// These are all, after a loss of touch.
    All(Kind, Vec<Value>),
    Put(Kind, Value),
    Gone(Kind, Value),
    /// The server cannot be reached; it is tried again.
    Lost(String),
    /// The server does not let this user watch, or does not serve it: trying again does not help.
    Refused(String),
}

impl Change {
    /// Carries the change out, and returns whose rows it may change.
    pub(crate) fn apply(self, fleet: &mut Fleet) -> Vec<Key> {
        match self {
            Self::All(kind, objects) => {
                let mut keys = fleet.keys(kind);
                fleet.replace(kind, objects.into_iter());
                keys.extend(fleet.keys(kind));
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            Self::Put(kind, object) => vec![fleet.put(kind, object)],
            Self::Gone(kind, object) => vec![fleet.remove(kind, &object)],
            Self::Lost(_) | Self::Refused(_) => Vec::new(),
        }
    }
}

/// Follows machines and instances for ever.
pub(crate) fn changes(api: &Api, choice: &Choice) -> impl Stream<Item = Change> + use<> {
    let machines = of_kind(api, choice, Kind::Machine, "VirtualMachine");
    let instances = of_kind(api, choice, Kind::Instance, "VirtualMachineInstance");
    futures::stream::select(machines.boxed_local(), instances.boxed_local())
}

fn of_kind(api: &Api, choice: &Choice, kind: Kind, name: &str) -> impl Stream<Item = Change> + use<> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kubevirt.io", "v1", name), kind.plural());
    let objects: kube::Api<DynamicObject> = match &choice.namespace {
        None => kube::Api::all_with(api.client(), &resource),
        Some(namespace) => kube::Api::namespaced_with(api.client(), namespace, &resource),
    };
    let config = match choice.selector.as_str() {
        selector if kind == Kind::Machine && !selector.is_empty() => {
            watcher::Config::default().labels(selector)
        }
        _ => watcher::Config::default(),
    };
    let mut all = Vec::new();
    let events = watcher::watcher(objects, config).default_backoff().map_ok(move |event| {
        let value = |object: DynamicObject| serde_json::to_value(object).unwrap_or_default();
        match event {
            Event::Init => {
                all.clear();
                None
            }
            Event::InitApply(object) => {
                all.push(value(object));
                None
            }
            Event::InitDone => Some(Change::All(kind, std::mem::take(&mut all))),
            Event::Apply(object) => Some(Change::Put(kind, value(object))),
            Event::Delete(object) => Some(Change::Gone(kind, value(object))),
        }
    });
    events.filter_map(async |change| match change {
        Ok(change) => change,
        Err(error) => Some(lost(&error)),
    })
}

/// Tells refusals from what passes.
fn lost(error: &watcher::Error) -> Change {
    use watcher::Error as Lost;
    let code = match error {
        Lost::InitialListFailed(kube::Error::Api(status))
        | Lost::WatchStartFailed(kube::Error::Api(status))
        | Lost::WatchFailed(kube::Error::Api(status))
        | Lost::WatchError(status) => status.code,
        _ => 0,
    };
    if matches!(code, 401 | 403 | 404) {
        Change::Refused(error.to_string())
    } else {
        Change::Lost(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_name_the_rows_that_they_change() {
        let object = |name: &str| json!({"metadata": {"namespace": "a", "name": name}});
        let key = |name: &str| ("a".to_owned(), name.to_owned());
        let mut fleet = Fleet::default();
        assert_eq!(Change::Put(Kind::Machine, object("m")).apply(&mut fleet), [key("m")]);
        let all = Change::All(Kind::Machine, vec![object("n")]);
        assert_eq!(all.apply(&mut fleet), [key("m"), key("n")]);
        assert_eq!(fleet.keys(Kind::Machine), [key("n")]);
        assert_eq!(Change::Gone(Kind::Machine, object("n")).apply(&mut fleet), [key("n")]);
        assert!(Choice::default().rows(&fleet).is_empty());
        assert!(Change::Lost(String::new()).apply(&mut fleet).is_empty());
    }
}
