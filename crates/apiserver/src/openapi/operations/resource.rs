//! The operations of a resource and its parts.

use super::super::parameters::{self, Parameter};
use super::words::{Names, article, title};
use super::{FORMS, META, Operation, PathItem, Sent, Shown, TEXT_FORMS, root};
use crate::registry::{Gvk, Resource, Subresource, Verb, facts};
use crate::resource::strategy;

const ANY: &[&str] = &["*/*"];
const WATCHED_FORMS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const LOG_FORMS: &[&str] =
    &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// The paths of a resource, whose objects have the schema `schema` and their lists `list`.
pub(in crate::openapi) fn of_resource(resource: &Resource, schema: &str, list: &str) -> Vec<PathItem> {
    let draft = Draft { resource, names: Names::new(resource.group(), resource.version()), schema, list };
    draft.items()
}

/// What the operations of one resource are written from.
struct Draft<'a> {
    resource: &'a Resource,
    names: Names,
    schema: &'a str,
    list: &'a str,
}

/// Which objects a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Those of all namespaces.
    Everywhere,
    /// Those of one namespace, or of a kind that knows none.
    Collection,
    /// One.
    Item,
}

impl Draft<'_> {
    fn items(&self) -> Vec<PathItem> {
        let resource = self.resource;
        let (root, plural) = (root(resource.group(), resource.version()), resource.plural());
        let namespaces = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{namespaces}/{plural}");
        let item = format!("{collection}/{{name}}");
        let on = |scope, verbs: &[Verb]| -> Vec<Operation> {
            let allowed = verbs.iter().filter(|verb| resource.allows(**verb));
            allowed.map(|verb| self.operation(*verb, scope)).collect()
        };
        let mut items = vec![
            (collection.clone(), on(Scope::Collection, &[Verb::List, Verb::Create, Verb::DeleteCollection])),
            (item.clone(), on(Scope::Item, &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete])),
        ];
        if resource.namespaced {
            items.push((format!("{root}/{plural}"), on(Scope::Everywhere, &[Verb::List])));
        }
        // The older addresses of watches; custom resources have them, too, and never told so.
        if !resource.custom {
            let watched = format!("{root}/watch{namespaces}/{plural}");
            items.push((format!("{watched}/{{name}}"), on(Scope::Item, &[Verb::Watch])));
            items.push((watched, on(Scope::Collection, &[Verb::Watch])));
            if resource.namespaced {
                items.push((format!("{root}/watch/{plural}"), on(Scope::Everywhere, &[Verb::Watch])));
            }
        }
        for sub in &resource.subresources {
            let path = format!("{item}/{}", sub.name);
            if !is_stream(sub) {
                let verbs = sub.verbs.iter();
                items.push((path, verbs.map(|verb| self.on_part(sub, *verb)).collect()));
                continue;
            }
            items.push((path.clone(), self.streams(sub, false)));
            if &*sub.name == "proxy" {
                items.push((format!("{path}/{{path}}"), self.streams(sub, true)));
            }
        }
        items.retain(|(_, operations)| !operations.is_empty());
        items.into_iter().map(|(path, operations)| PathItem { path, operations }).collect()
    }

    /// What a verb does with objects.
    fn operation(&self, verb: Verb, scope: Scope) -> Operation {
        let kind = self.resource.kind();
        let a_kind = format!("{}{kind}", article(kind));
        let status = || Shown::Object(format!("{META}.Status"));
        let object = || Shown::Object(self.schema.to_owned());
        let custom = self.resource.custom;
        let (what, description): (&str, String) = match verb {
            Verb::Get => ("read", format!("read the specified {kind}")),
            Verb::Create => ("create", format!("create{a_kind}")),
            Verb::Update => ("replace", format!("replace the specified {kind}")),
            Verb::Patch => ("patch", format!("partially update the specified {kind}")),
            Verb::Delete => ("delete", format!("delete{a_kind}")),
            Verb::DeleteCollection => ("delete", format!("delete collection of {kind}")),
            Verb::List if self.resource.allows(Verb::Watch) && !custom => {
                ("list", format!("list or watch objects of kind {kind}"))
            }
            Verb::List => ("list", format!("list objects of kind {kind}")),
            Verb::Watch if scope == Scope::Item => (
                "watch",
                format!(
                    "watch changes to an object of kind {kind}. deprecated: list with the parameters watch and fieldSelector"
                ),
            ),
            Verb::Watch => (
                "watch",
                format!(
                    "watch individual changes to a list of {kind}. deprecated: list with the parameter watch"
                ),
            ),
        };
        let deleted = || if strategy::shows_deleted(self.resource) { object() } else { status() };
        let answers = match verb {
            Verb::Get => vec![("200", object())],
            Verb::Create => vec![("200", object()), ("201", object()), ("202", object())],
            Verb::Patch if custom => vec![("200", object())],
            Verb::Update | Verb::Patch => vec![("200", object()), ("201", object())],
            Verb::Delete => vec![("200", deleted()), ("202", deleted())],
            Verb::DeleteCollection => vec![("200", status())],
            Verb::List => vec![("200", Shown::Object(self.list.to_owned()))],
            Verb::Watch => vec![("200", Shown::Object(format!("{META}.WatchEvent")))],
        };
        let mut names = vec!["pretty"];
        names.extend(queries(verb, custom));
        let rest = self.rest_of_id(verb, scope, "");
        let action = match verb {
            Verb::Watch if scope != Scope::Item => "watchlist",
            verb => action(verb),
        };
        Operation {
            action: Some(action),
            sent: self.sent(verb, self.schema),
            produces: self.produces(verb),
            ..self.write(verb, what, &rest, description, &self.resource.gvk, scope, &names, answers)
        }
    }

    /// What a verb does with a part of an object.
    fn on_part(&self, sub: &Subresource, verb: Verb) -> Operation {
        let (kind, name) = (self.resource.kind(), &*sub.name);
        let schema = if sub.gvk.kind.as_str() == kind {
            self.schema.to_owned()
        } else {
            definition_of(&sub.gvk).map_or_else(|| format!("{META}.Status"), str::to_owned)
        };
        let (what, description) = match verb {
            Verb::Create => ("create", format!("create {name} of{}{kind}", article(kind))),
            Verb::Update => ("replace", format!("replace {name} of the specified {kind}")),
            Verb::Patch => ("patch", format!("partially update {name} of the specified {kind}")),
            Verb::Delete => ("delete", format!("delete {name} of{}{kind}", article(kind))),
            _ => ("read", format!("read {name} of the specified {kind}")),
        };
        let is_log = name == "log";
        let shown = || if is_log { Shown::Text } else { Shown::Object(schema.clone()) };
        let codes: &[&str] = match verb {
            Verb::Create => &["200", "201", "202"],
            Verb::Patch if self.resource.custom => &["200"],
            Verb::Update | Verb::Patch => &["200", "201"],
            _ => &["200"],
        };
        let mut names = vec!["pretty"];
        names.extend(if is_log { &parameters::LOG } else { queries(verb, self.resource.custom) });
        let answers = codes.iter().map(|code| (*code, shown())).collect();
        let rest = self.rest_of_id(verb, Scope::Item, &title(name));
        // Documents name the kind itself for parts of custom resources, whatever the part's kind.
        let gvk = if self.resource.custom { &self.resource.gvk } else { &sub.gvk };
        Operation {
            sent: self.sent(verb, &schema),
            produces: if is_log { LOG_FORMS } else { self.produces(verb) },
            ..self.write(verb, what, &rest, description, gvk, Scope::Item, &names, answers)
        }
    }

    /// The methods of a part that is a stream, or that goes on to another program.
    fn streams(&self, sub: &Subresource, with_path: bool) -> Vec<Operation> {
        let kind = self.resource.kind();
        let is_proxy = &*sub.name == "proxy";
        let methods = ["get", "post", "put", "patch", "delete", "head", "options"].into_iter();
        let methods =
            methods.filter(|method| is_proxy || sub.verbs.iter().any(|verb| method_of(*verb) == *method));
        methods
            .map(|method| {
                let upper = method.to_uppercase();
                let description = format!("connect {upper} requests to {} of {kind}", sub.name);
                let suffix = if with_path { "WithPath" } else { "" };
                let rest = self.rest_of_id(Verb::Get, Scope::Item, &format!("{}{suffix}", title(&sub.name)));
                let names = parameters::of_stream(&sub.gvk.kind);
                let answers = vec![("200", Shown::Text)];
                let (what, rest) = ("connect", format!("{}{rest}", title(method)));
                let write =
                    self.write(Verb::Get, what, &rest, description, &sub.gvk, Scope::Item, names, answers);
                let mut operation =
                    Operation { method, action: Some("connect"), consumes: ANY, produces: ANY, ..write };
                if with_path {
                    operation.parameters.push(Parameter::rest());
                    operation.parameters.sort_by_key(Parameter::place_in_lists);
                }
                operation
            })
            .collect()
    }

    /// An operation as most are.
    #[expect(clippy::too_many_arguments, reason = "each is another part of one operation")]
    fn write(
        &self,
        verb: Verb,
        what: &str,
        rest: &str,
        description: String,
        gvk: &Gvk,
        scope: Scope,
        queries: &[&str],
        answers: Vec<(&'static str, Shown)>,
    ) -> Operation {
        let mut parameters = Parameter::queries(queries.iter().copied());
        if scope == Scope::Item {
            parameters.push(Parameter::name_of(&gvk.kind));
        }
        if self.resource.namespaced && scope != Scope::Everywhere {
            parameters.push(Parameter::namespace());
        }
        parameters.sort_by_key(Parameter::place_in_lists);
        Operation {
            method: method_of(verb),
            id: self.names.id(what, rest),
            tag: self.names.tag(),
            description,
            action: Some(action(verb)),
            kind: Some(gvk.clone()),
            consumes: match verb {
                Verb::Patch if self.resource.custom => CUSTOM_PATCHES,
                Verb::Patch => PATCHES,
                _ if self.resource.custom => TEXT_FORMS,
                _ => ANY,
            },
            produces: ANY,
            parameters,
            sent: None,
            answers,
        }
    }

    /// What stands behind verb, group and version in an operation's identifier.
    fn rest_of_id(&self, verb: Verb, scope: Scope, part: &str) -> String {
        let namespaced = self.resource.namespaced && scope != Scope::Everywhere;
        format!(
            "{}{}{}{part}{}{}",
            if verb == Verb::DeleteCollection { "Collection" } else { "" },
            if namespaced { "Namespaced" } else { "" },
            self.resource.kind(),
            if verb == Verb::Watch && scope != Scope::Item { "List" } else { "" },
            if self.resource.namespaced && scope == Scope::Everywhere { "ForAllNamespaces" } else { "" },
        )
    }

    fn sent(&self, verb: Verb, schema: &str) -> Option<Sent> {
        let sent = |schema: String, required| Some(Sent { schema, required });
        match verb {
            Verb::Create | Verb::Update => sent(schema.to_owned(), true),
            Verb::Patch => sent(format!("{META}.Patch"), true),
            Verb::Delete => sent(format!("{META}.DeleteOptions"), false),
            Verb::DeleteCollection if !self.resource.custom => sent(format!("{META}.DeleteOptions"), false),
            _ => None,
        }
    }

    fn produces(&self, verb: Verb) -> &'static [&'static str] {
        match verb {
            _ if self.resource.custom => TEXT_FORMS,
            Verb::List | Verb::Watch => WATCHED_FORMS,
            _ => FORMS,
        }
    }
}

/// Whether a part is a connection: its options are then its kind.
fn is_stream(sub: &Subresource) -> bool {
    sub.gvk.kind.ends_with("Options")
}

/// The definition of a built-in kind.
fn definition_of(gvk: &Gvk) -> Option<&'static str> {
    let group = gvk.group.as_str().trim_end_matches(".k8s.io");
    let package = if group.is_empty() { "core" } else { group };
    let name = format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind);
    facts::definition_entry(&name).map(|(name, _)| name)
}

fn method_of(verb: Verb) -> &'static str {
    match verb {
        Verb::Get | Verb::List | Verb::Watch => "get",
        Verb::Create => "post",
        Verb::Update => "put",
        Verb::Patch => "patch",
        Verb::Delete | Verb::DeleteCollection => "delete",
    }
}

fn action(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "post",
        Verb::Update => "put",
        verb => verb.as_str(),
    }
}

/// Query parameters of a verb, but for `pretty`.
fn queries(verb: Verb, custom: bool) -> &'static [&'static str] {
    /// Those of deleting and of listing, but for what makes a list a watch.
    const DELETE_COLLECTION: [&str; 13] = [
        "continue",
        "dryRun",
        "fieldSelector",
        "gracePeriodSeconds",
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "labelSelector",
        "limit",
        "orphanDependents",
        "propagationPolicy",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "timeoutSeconds",
    ];
    match verb {
        Verb::Get if custom => &["resourceVersion"],
        Verb::Get => &[],
        Verb::List | Verb::Watch => &parameters::LIST,
        Verb::Create | Verb::Update => &parameters::WRITE,
        Verb::Patch => &parameters::PATCH,
        Verb::Delete => &parameters::DELETE,
        Verb::DeleteCollection if custom => &parameters::LIST,
        Verb::DeleteCollection => &DELETE_COLLECTION,
    }
}
