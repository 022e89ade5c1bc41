//! Which requests a webhook or a policy is for: rules, namespaces, labels.

use std::sync::Arc;

use machinery::admission::{Operation, Request};
use machinery::gvk::Gvr;
use machinery::selector::LabelSelector;
use machinery::status::Status;
use serde_json::Value;

use super::Context;
use crate::cache::ObjectKey;
use crate::registry::{Collection, Resource, ResourceRef};
use crate::{ApiServer, Result};

/// One rule: all its lists must hold what the request has.
#[derive(Clone, Debug, Default)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
    names: Vec<String>,
}

/// Conditions on a request.
#[derive(Clone, Debug)]
pub(super) struct Criteria {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Without rules everything is meant, not nothing.
    open: bool,
    /// Rules also mean the same objects by another version's name.
    equivalent: bool,
    namespaces: Selector,
    objects: Selector,
}

/// A label selector, or none.
#[derive(Clone, Debug)]
struct Selector(Option<LabelSelector>);

impl Selector {
    /// One that is empty or left out means everything; one that cannot be read means nothing.
    fn read(value: &Value) -> Self {
        let empty = value.as_object().is_none_or(|fields| {
            fields.values().all(|part| {
                part.as_object().is_none_or(serde_json::Map::is_empty)
                    && part.as_array().is_none_or(Vec::is_empty)
            })
        });
        Self((!empty).then(|| LabelSelector::from_object(value).unwrap_or_else(|_| LabelSelector::nothing())))
    }

    fn matches(&self, object: &Value) -> bool {
        self.0.as_ref().is_none_or(|selector| selector.matches(object))
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn read(value: &Value) -> Self {
        Self {
            operations: texts(&value["operations"]),
            groups: texts(&value["apiGroups"]),
            versions: texts(&value["apiVersions"]),
            resources: texts(&value["resources"]),
            scope: value["scope"].as_str().unwrap_or("*").to_owned(),
            names: texts(&value["resourceNames"]),
        }
    }

    /// Whether the rule means `request`, addressed as `resource`.
    fn matches(&self, request: &Request, resource: &Resource) -> bool {
        let is_namespace = resource.group().is_empty() && resource.plural() == "namespaces";
        let in_scope = match self.scope.as_str() {
            "Namespaced" => !is_namespace && !request.namespace.is_empty(),
            "Cluster" => is_namespace || request.namespace.is_empty(),
            _ => true,
        };
        in_scope
            && has(&self.operations, request.operation.as_str())
            && has(&self.groups, resource.group())
            && has(&self.versions, resource.version())
            && self.resources.iter().any(|rule| {
                let (main, sub) = rule.split_once('/').unwrap_or((rule, ""));
                (main == "*" || main == resource.plural()) && (sub == "*" || sub == request.sub_resource)
            })
            && (self.names.is_empty() || self.names.contains(&request.name))
    }
}

impl Criteria {
    /// Reads a webhook's.
    pub(super) fn of_webhook(webhook: &Value) -> Self {
        Self { rules: rules(&webhook["rules"]), open: false, ..Self::common(webhook) }
    }

    /// Reads `matchConstraints` of a policy or `matchResources` of a binding; the latter may leave the rules to the former.
    pub(super) fn of_policy(matching: &Value, binding: bool) -> Self {
        let rules = rules(&matching["resourceRules"]);
        Self {
            open: binding && rules.is_empty(),
            rules,
            excluded: self::rules(&matching["excludeResourceRules"]),
            ..Self::common(matching)
        }
    }

    fn common(value: &Value) -> Self {
        Self {
            rules: Vec::new(),
            excluded: Vec::new(),
            open: false,
            equivalent: value["matchPolicy"] != "Exact",
            namespaces: Selector::read(&value["namespaceSelector"]),
            objects: Selector::read(&value["objectSelector"]),
        }
    }

    /// Returns the resource (in the version that the rules name) if the request is meant.
    ///
    /// # Errors
    /// Fails when it is meant but for its namespace, which is not there.
    pub(super) fn matches(&self, context: &Context, request: &Request) -> Result<Option<ResourceRef>> {
        let Some(resource) = self.matching_rule(context, request) else { return Ok(None) };
        if !self.objects.matches(&request.object) && !self.objects.matches(&request.old_object)
            || self.objects.0.is_some() && request.object.is_null() && request.old_object.is_null()
        {
            return Ok(None);
        }
        Ok(self.in_namespace(context, request)?.then_some(resource))
    }

    fn matching_rule(&self, context: &Context, request: &Request) -> Option<ResourceRef> {
        if self.find(&self.excluded, context, request).is_some() {
            return None;
        }
        if self.open {
            return Some(Arc::clone(&context.resource));
        }
        self.find(&self.rules, context, request)
    }

    fn find(&self, rules: &[Rule], context: &Context, request: &Request) -> Option<ResourceRef> {
        if rules.is_empty() {
            return None;
        }
        let own = &context.resource;
        if rules.iter().any(|rule| rule.matches(request, own)) {
            return Some(Arc::clone(own));
        }
        if !self.equivalent {
            return None;
        }
        let snapshot = context.server.registry().snapshot();
        let others = snapshot.resources().filter(|other| {
            other.collection == own.collection
                && other.gvk != own.gvk
                && (request.sub_resource.is_empty() || other.subresource(&request.sub_resource).is_some())
        });
        let mut meant = others.filter(|other| rules.iter().any(|rule| rule.matches(request, other)));
        meant.next().map(Arc::clone)
    }

    fn in_namespace(&self, context: &Context, request: &Request) -> Result<bool> {
        if self.namespaces.0.is_none() {
            return Ok(true);
        }
        let is_namespace = context.resource.group().is_empty() && context.resource.plural() == "namespaces";
        if request.namespace.is_empty() && !is_namespace {
            return Ok(true);
        }
        // A namespace that comes or changes is judged by the labels that it will have.
        if is_namespace
            && request.sub_resource.is_empty()
            && matches!(request.operation, Operation::Create | Operation::Update)
        {
            return Ok(self.namespaces.matches(&request.object));
        }
        let name = if is_namespace { &request.name } else { &request.namespace };
        match namespace(&context.server, name) {
            Some(namespace) => Ok(self.namespaces.matches(&namespace)),
            None => Err(Status::not_found(&Gvr::new("", "v1", "namespaces"), name).into()),
        }
    }
}

fn rules(value: &Value) -> Vec<Rule> {
    value.as_array().into_iter().flatten().map(Rule::read).collect()
}

/// A namespace as it is now.
pub(super) fn namespace(server: &ApiServer, name: &str) -> Option<Value> {
    let entry = server.object(&Collection::new("", "namespaces"), &ObjectKey::new("", name))?;
    entry.parse().ok()
}
