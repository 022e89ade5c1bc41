//! The objects that a binding gives its policy as parameters.

use machinery::admission::Request;
use machinery::gvk::GroupVersion;
use machinery::object;
use machinery::selector::LabelSelector;
use serde_json::Value;

use crate::admission::Context;
use crate::cache::ObjectKey;
use crate::registry::convert;

/// Kind of a policy's parameters: `apiVersion` and `kind`.
#[derive(Clone, Debug)]
pub(super) struct ParameterKind {
    api_version: String,
    kind: String,
}

impl ParameterKind {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = |field: &str| object::str_at(value, &[field]).to_owned();
        (!value.is_null()).then(|| Self { api_version: text("apiVersion"), kind: text("kind") })
    }
}

/// Returns the parameters with which a policy is to judge `request`, once each; `None` stands for none.
///
/// # Errors
/// Says what is not there.
pub(super) fn find(
    context: &Context,
    kind: Option<&ParameterKind>,
    reference: &Value,
    request: &Request,
) -> Result<Vec<Option<Value>>, String> {
    let Some(kind) = kind else { return Ok(vec![None]) };
    if reference.is_null() {
        return Ok(vec![None]);
    }
    let shown = format!("{}, Kind={}", kind.api_version, kind.kind);
    let version = GroupVersion::parse(&kind.api_version).map_err(|error| error.to_string())?;
    let snapshot = context.server.registry().snapshot();
    let found = snapshot.kind(&version.group, &version.version, &kind.kind);
    let resource = found.ok_or_else(|| format!("paramKind {shown} is no kind that this server has"))?;
    let text = |field: &str| object::str_at(reference, &[field]);
    let namespace = match (resource.namespaced, text("namespace")) {
        (true, "") if request.namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .to_owned(),
            );
        }
        (true, "") => request.namespace.as_str(),
        (true, namespace) => namespace,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
    };
    let cache = context.server.caches().of(&resource.collection);
    let entries = match text("name") {
        "" => cache.snapshot(namespace).0,
        name => cache.get(&ObjectKey::new(namespace, name)).into_iter().collect(),
    };
    let selector = match &reference["selector"] {
        Value::Null => LabelSelector::everything(),
        selector => LabelSelector::from_object(selector).map_err(|error| error.to_string())?,
    };
    let objects = entries.iter().filter_map(|entry| entry.parse().ok());
    let objects = objects.filter(|object| selector.matches(object));
    let found: Vec<_> = objects.map(|object| Some(convert::from_storage(resource, object))).collect();
    if found.is_empty() && text("parameterNotFoundAction") != "Allow" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found)
}
