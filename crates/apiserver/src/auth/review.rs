//! The reviews: questions about identities and permissions, answered and not stored.

use std::collections::BTreeMap;

use machinery::admission::UserInfo;
use machinery::field::{FieldError, Path};
use machinery::gvk::Gvk;
use machinery::status::Status;
use serde_json::{Value, json};

use super::attributes::Attributes;
use super::{rbac, token_review};
use crate::{ApiServer, Result};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Returns whether creating this resource is asking for a review.
pub fn is_review(group: &str, plural: &str) -> bool {
    (group == AUTHENTICATION || group == AUTHORIZATION) && plural.ends_with("reviews")
}

/// Answers the creation of a review: returns it with its status. `user` is who asks; `namespace` is the request's.
///
/// # Errors
/// Refuses questions that make no sense.
pub fn answer(
    server: &ApiServer,
    user: &UserInfo,
    plural: &str,
    namespace: &str,
    mut review: Value,
) -> Result<Value> {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let mut metadata = json!({});
    let status = match plural {
        "tokenreviews" => token_review::status(server, &review)?,
        "selfsubjectreviews" => {
            metadata["creationTimestamp"] = server.now().to_string().into();
            json!({"userInfo": user})
        }
        "selfsubjectrulesreviews" => rules(server, user, &spec)?,
        "selfsubjectaccessreviews" => {
            check(&spec, None)?;
            access(server, user, &spec)
        }
        "localsubjectaccessreviews" => {
            check(&spec, Some(namespace))?;
            metadata["namespace"] = namespace.into();
            access(server, &subject(&spec), &spec)
        }
        _ => {
            check(&spec, Some(""))?;
            access(server, &subject(&spec), &spec)
        }
    };
    if let Some(fields) = review.as_object_mut() {
        fields.insert("metadata".to_owned(), metadata);
        fields.insert("status".to_owned(), status);
    }
    Ok(review)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The user that a review asks about.
fn subject(spec: &Value) -> UserInfo {
    let list = |value: Option<&Value>| -> Vec<String> {
        value
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let extra = spec.get("extra").and_then(Value::as_object);
    UserInfo {
        username: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: list(spec.get("groups")),
        extra: extra
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), list(Some(value))))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Checks the question. `subject_in` is set for reviews that name a subject; if it is not empty, to the namespace
/// that the question must stay in.
fn check(spec: &Value, subject_in: Option<&str>) -> Result<()> {
    let present = |field: &str| spec.get(field).filter(|value| !value.is_null());
    let (resource, path) = (present("resourceAttributes"), present("nonResourceAttributes"));
    let mut errors = Vec::new();
    let local = subject_in.is_some_and(|namespace| !namespace.is_empty());
    match (resource, path) {
        (Some(_), Some(path)) => errors.push(FieldError::invalid(
            Path::new("spec.nonResourceAttributes"),
            path.clone(),
            "cannot be combined with resourceAttributes; ask one question at a time",
        )),
        (None, None) => errors.push(FieldError::invalid(
            Path::new("spec.resourceAttributes"),
            Value::Null,
            "one of resourceAttributes and nonResourceAttributes must be set",
        )),
        _ => {}
    }
    for selector in ["fieldSelector", "labelSelector"] {
        let given = resource.and_then(|attributes| attributes.get(selector)).filter(|given| !given.is_null());
        if let Some(given) = given {
            check_selector(given, &Path::new("spec.resourceAttributes").child(selector), &mut errors);
        }
    }
    if subject_in.is_some() && subject(spec).username.is_empty() && subject(spec).groups.is_empty() {
        let why = "user or groups must be set";
        errors.push(FieldError::invalid(Path::new("spec.user"), text(spec, "user"), why));
    }
    if let (true, Some(namespace)) = (local, subject_in) {
        let asked = resource.map_or("", |attributes| text(attributes, "namespace"));
        if resource.is_some() && asked != namespace {
            let why = "must be the namespace of the request";
            errors.push(FieldError::invalid(Path::new("spec.resourceAttributes.namespace"), asked, why));
        }
        if let Some(path) = path {
            let why = "a question about a namespace cannot be about a path";
            errors.push(FieldError::invalid(Path::new("spec.nonResourceAttributes"), path.clone(), why));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&Gvk::new(AUTHORIZATION, "", ""), "", &errors).into())
    }
}

/// A selector is given in one of two forms.
fn check_selector(selector: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let raw = text(selector, "rawSelector");
    let listed = selector.get("requirements").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if !raw.is_empty() && listed {
        let why = "may not be specified at the same time as requirements";
        errors.push(FieldError::invalid(path.child("rawSelector"), raw, why));
    } else if raw.is_empty() && !listed {
        let why = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(path.child("requirements"), why));
    }
}

/// Answers whether `user` may.
fn access(server: &ApiServer, user: &UserInfo, spec: &Value) -> Value {
    let attributes = if let Some(resource) = spec.get("resourceAttributes").filter(|value| !value.is_null()) {
        Attributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
            path: "",
        }
    } else {
        let path = spec.get("nonResourceAttributes").unwrap_or(&Value::Null);
        Attributes { verb: text(path, "verb"), path: text(path, "path"), ..Attributes::default() }
    };
    let decision = server.auth().decide(server, user, &attributes);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    status
}

/// Lists what the asker may do in a namespace.
fn rules(server: &ApiServer, user: &UserInfo, spec: &Value) -> Result<Value> {
    let namespace = text(spec, "namespace");
    if namespace.is_empty() {
        return Err(
            Status::bad_request("spec.namespace is empty; name the namespace to list the rules of").into()
        );
    }
    let (mut resource_rules, mut path_rules) = (Vec::new(), Vec::new());
    let policy = server.auth().policy(server);
    let everything = [rbac::Rule::everything(), rbac::Rule::every_path()];
    let master = user.groups.iter().any(|group| group == super::identity::MASTERS);
    let held = policy.rules_of(user, namespace);
    for rule in held.into_iter().chain(if master { everything.iter().collect() } else { Vec::new() }) {
        if !rule.resources.is_empty() {
            let mut shown =
                json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                shown["resourceNames"] = json!(rule.names);
            }
            resource_rules.push(shown);
        }
        if !rule.urls.is_empty() {
            path_rules.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    Ok(json!({"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": false}))
}
