//! What a policy's expressions would stumble over in the kinds that it is for: warnings in `status.typeChecking`.

use std::collections::{BTreeMap, BTreeSet};

use machinery::cel::{Scope, Type};
use machinery::gvk::GroupVersion;
use machinery::object;
use serde_json::{Value, json};

use super::rule::text;
use crate::ApiServer;
use crate::admission::conditions::expression;
use crate::admission::{GROUP, policy_scope};
use crate::cache::ObjectKey;
use crate::registry::{Collection, ResourceRef};
use crate::resource::storage::{self, CommitError, Intent};

/// Most kinds that one policy is checked for.
const KINDS: usize = 10;

/// Writes the warnings of a policy into its status, unless they are there for this generation.
pub(crate) fn check(server: &ApiServer, policy: &Value) {
    if !is_due(policy) {
        return;
    }
    let (server, name) = (server.clone(), object::name(policy).to_owned());
    tokio::spawn(async move {
        let collection = policies();
        let key = ObjectKey::new("", &name);
        loop {
            let Some(entry) = server.object(&collection, &key) else { return };
            let Some(mut policy) = entry.parse().ok().filter(is_due) else { return };
            let warnings = warnings(&server, &policy["spec"]);
            let checked =
                if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
            policy["status"]["observedGeneration"] = object::generation(&policy).into();
            policy["status"]["typeChecking"] = checked;
            let written =
                storage::commit(&server, &collection, &key, Some(entry.revision), Intent::Put(&policy));
            match written.await {
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(status)) => {
                    tracing::warn!(%status, policy = name, "cannot write a policy's status");
                    return;
                }
                Ok(_) => return,
            }
        }
    });
}

/// Checks every policy that an earlier start left unchecked: a kill may come between a policy and its status.
pub(crate) fn check_all(server: &ApiServer) {
    for entry in server.caches().of(&policies()).snapshot("").0 {
        if let Ok(policy) = entry.parse() {
            check(server, &policy);
        }
    }
}

fn policies() -> Collection {
    Collection::new(GROUP, "validatingadmissionpolicies")
}

fn is_due(policy: &Value) -> bool {
    policy["status"]["observedGeneration"].as_i64() != Some(object::generation(policy))
}

/// What is wrong with expressions, all kinds of one expression together.
fn warnings(server: &ApiServer, spec: &Value) -> Vec<Value> {
    let kinds = kinds(server, spec);
    let params = params(server, &spec["paramKind"]);
    let scopes: Vec<(String, Scope)> = kinds
        .iter()
        .map(|resource| (resource.gvk.to_string(), scope(spec, resource, params.as_ref())))
        .collect();
    let mut warnings = Vec::new();
    for (at, validation) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = text(validation, field);
            if source.is_empty() {
                continue;
            }
            let wrong = |(kind, scope): &(String, Scope)| {
                expression(&source, scope).err().map(|why| format!("{kind}: {why}\n"))
            };
            let warning: String = scopes.iter().filter_map(wrong).collect();
            if !warning.is_empty() {
                let field = format!("spec.validations[{at}].{field}");
                warnings.push(json!({"fieldRef": field, "warning": warning}));
            }
        }
    }
    warnings
}

/// The kinds that a policy names, without those that it only describes by `*`.
fn kinds(server: &ApiServer, spec: &Value) -> Vec<ResourceRef> {
    let snapshot = server.registry().snapshot();
    let mut seen = BTreeSet::new();
    let mut kinds: Vec<ResourceRef> = Vec::new();
    for rule in spec["matchConstraints"]["resourceRules"].as_array().into_iter().flatten() {
        let named = |field: &str| -> Vec<&str> {
            let all = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            all.filter(|name| !name.contains(['*', '/'])).collect()
        };
        for group in named("apiGroups") {
            for version in named("apiVersions") {
                for plural in named("resources") {
                    let found = snapshot.resource(group, version, plural);
                    kinds.extend(found.filter(|found| seen.insert(found.gvk.to_string())).cloned());
                }
            }
        }
    }
    kinds.sort_by_key(|kind| kind.gvk.to_string());
    kinds.truncate(KINDS);
    kinds
}

fn params(server: &ApiServer, kind: &Value) -> Option<Type> {
    if kind.is_null() {
        return None;
    }
    let api: Option<GroupVersion> = GroupVersion::parse(object::str_at(kind, &["apiVersion"])).ok();
    let snapshot = server.registry().snapshot();
    let found =
        api.as_ref().and_then(|api| snapshot.kind(&api.group, &api.version, object::str_at(kind, &["kind"])));
    Some(found.map_or(Type::Dyn, |resource| Type::described(resource.schema.schema())))
}

/// The names of the policy's expressions where the object is one of `resource`.
fn scope(spec: &Value, resource: &ResourceRef, params: Option<&Type>) -> Scope {
    let object = Type::described(resource.schema.schema());
    let typed = |variables: &BTreeMap<String, Type>| {
        let scope = policy_scope(params.is_some(), variables.clone());
        let scope = scope.with("object", object.clone()).with("oldObject", object.clone());
        match params {
            Some(params) => scope.with("params", params.clone()),
            None => scope,
        }
    };
    let mut variables = BTreeMap::new();
    for variable in spec["variables"].as_array().into_iter().flatten() {
        let compiled = expression(&text(variable, "expression"), &typed(&variables));
        let kind = compiled.map_or(Type::Dyn, |program| program.output().clone());
        variables.insert(text(variable, "name"), kind);
    }
    typed(&variables)
}
