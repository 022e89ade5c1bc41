//! What can be done at each path, once for both versions of the documents.

mod resource;
mod words;

use serde_json::{Value, json};

use super::parameters::Parameter;
use crate::registry::Gvk;
use words::Names;

pub(super) use resource::of_resource;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const TEXT_FORMS: &[&str] = &["application/json", "application/yaml"];
const FORMS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// What an answer holds.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// Bytes that are no object.
    Text,
    /// An object with the schema of this name.
    Object(String),
}

/// An object that comes with a request.
#[derive(Debug)]
pub(super) struct Sent {
    /// The name of its schema.
    pub(super) schema: String,
    pub(super) required: bool,
}

/// What one method does at a path.
#[derive(Debug)]
pub(super) struct Operation {
    /// The method, in lower case.
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) tag: String,
    pub(super) description: String,
    pub(super) action: Option<&'static str>,
    pub(super) kind: Option<Gvk>,
    /// Media types of requests; none where no kind of request is told.
    pub(super) consumes: &'static [&'static str],
    /// Media types of answers.
    pub(super) produces: &'static [&'static str],
    /// Parameters, by name.
    pub(super) parameters: Vec<Parameter>,
    pub(super) sent: Option<Sent>,
    /// Answers beside 401, by status.
    pub(super) answers: Vec<(&'static str, Shown)>,
}

impl Operation {
    /// Adds what only documents of Kubernetes say of an operation.
    pub(super) fn mark(&self, out: &mut Value) {
        if let Some(action) = self.action {
            out["x-kubernetes-action"] = action.into();
        }
        if let Some(kind) = &self.kind {
            out["x-kubernetes-group-version-kind"] = json!({"group": kind.group.as_str(), "version": kind.version.as_str(), "kind": kind.kind.as_str()});
        }
    }
}

/// A path and what can be done there.
#[derive(Debug)]
pub(super) struct PathItem {
    pub(super) path: String,
    pub(super) operations: Vec<Operation>,
}

impl PathItem {
    /// The parameters that all its operations have, which are told once.
    pub(super) fn common(&self) -> Vec<&Parameter> {
        let Some((first, others)) = self.operations.split_first() else { return Vec::new() };
        let everywhere =
            |parameter: &&Parameter| others.iter().all(|other| other.parameters.contains(parameter));
        first.parameters.iter().filter(everywhere).collect()
    }
}

/// The words of a status code.
pub(super) fn reason(code: &str) -> &'static str {
    match code {
        "201" => "Created",
        "202" => "Accepted",
        _ => "OK",
    }
}

/// Paths that lead to no resource: what the server is, and which groups it serves.
pub(super) fn of_server() -> Vec<PathItem> {
    let meta = |kind: &str| Shown::Object(format!("{META}.{kind}"));
    let get = |path: &str, id: &str, tag: &str, description: &str, forms, shown| PathItem {
        path: path.to_owned(),
        operations: vec![Operation {
            method: "get",
            id: id.to_owned(),
            tag: tag.to_owned(),
            description: description.to_owned(),
            action: None,
            kind: None,
            consumes: forms,
            produces: forms,
            parameters: Vec::new(),
            sent: None,
            answers: vec![("200", shown)],
        }],
    };
    let version = Shown::Object("io.k8s.apimachinery.pkg.version.Info".to_owned());
    let json = &TEXT_FORMS[..1];
    let mut items = vec![
        get(
            "/.well-known/openid-configuration/",
            "getServiceAccountIssuerOpenIDConfiguration",
            "WellKnown",
            "who issues tokens of service accounts, and where its keys are",
            json,
            Shown::Text,
        ),
        get("/api/", "getCoreAPIVersions", "core", "get available API versions", FORMS, meta("APIVersions")),
        get("/apis/", "getAPIVersions", "apis", "get available API versions", FORMS, meta("APIGroupList")),
        get(
            "/openid/v1/jwks/",
            "getServiceAccountIssuerOpenIDKeyset",
            "openid",
            "the keys that verify tokens of service accounts",
            &["application/jwk-set+json"],
            Shown::Text,
        ),
        get("/version/", "getCodeVersion", "version", "the version of this server", json, version),
    ];
    for item in items.iter_mut().filter(|item| item.path.contains("openid")) {
        item.operations.iter_mut().for_each(|operation| operation.consumes = &[]);
    }
    items
}

/// The path of a group.
pub(super) fn of_group(group: &str) -> PathItem {
    discovery(&Names::of_group(group), format!("/apis/{group}/"), "APIGroup", "get information of a group")
}

/// The path of a group's version.
pub(super) fn of_version(group: &str, version: &str) -> PathItem {
    let path = format!("{}/", root(group, version));
    let mut item = discovery(&Names::new(group, version), path, "APIResourceList", "get available resources");
    item.operations[0].id = Names::new(group, version).id("get", "APIResources");
    item
}

fn discovery(names: &Names, path: String, kind: &str, description: &str) -> PathItem {
    let operation = Operation {
        method: "get",
        id: names.id("get", kind),
        tag: names.tag(),
        description: description.to_owned(),
        action: None,
        kind: None,
        consumes: FORMS,
        produces: FORMS,
        parameters: Vec::new(),
        sent: None,
        answers: vec![("200", Shown::Object(format!("{META}.{kind}")))],
    };
    PathItem { path, operations: vec![operation] }
}

fn root(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    }
}
