//! One rule of a role.

use serde::{Deserialize, Serialize};

use crate::auth::attributes::Attributes;

const ALL: &str = "*";

/// A rule: verbs on resources, or on paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Verbs; `*` for all.
    pub verbs: Box<[Box<str>]>,
    /// API groups; `*` for all.
    #[serde(rename = "apiGroups")]
    pub groups: Box<[Box<str>]>,
    /// Resources: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Box<[Box<str>]>,
    /// Names of the objects that the rule is limited to; empty for no limit.
    #[serde(rename = "resourceNames")]
    pub names: Box<[Box<str>]>,
    /// Paths; a trailing `*` takes in all that begin so.
    #[serde(rename = "nonResourceURLs")]
    pub urls: Box<[Box<str>]>,
}

fn one(text: &str) -> Box<[Box<str>]> {
    Box::new([text.into()])
}

fn holds(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|item| &**item == ALL || &**item == wanted)
}

impl Rule {
    /// The rule that allows everything on resources.
    pub fn everything() -> Self {
        Self { verbs: one(ALL), groups: one(ALL), resources: one(ALL), ..Self::default() }
    }

    /// The rule that allows everything on paths.
    pub fn every_path() -> Self {
        Self { verbs: one(ALL), urls: one(ALL), ..Self::default() }
    }

    /// Says whether the rule allows this.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !holds(&self.verbs, attributes.verb) {
            return false;
        }
        if attributes.resource.is_empty() {
            return self.urls.iter().any(|url| url_matches(url, attributes.path));
        }
        holds(&self.groups, attributes.group)
            && self
                .resources
                .iter()
                .any(|held| resource_matches(held, attributes.resource, attributes.subresource))
            && (self.names.is_empty() || self.names.iter().any(|name| &**name == attributes.name))
    }
}

/// Says whether `held` (`pods`, `pods/log`, `*/scale` or `*`) takes in a resource.
pub(super) fn resource_matches(held: &str, resource: &str, subresource: &str) -> bool {
    if held == ALL {
        return true;
    }
    match held.split_once('/') {
        None => subresource.is_empty() && held == resource,
        Some((main, sub)) => sub == subresource && (main == ALL || main == resource),
    }
}

/// Says whether `held` takes in a path.
pub(super) fn url_matches(held: &str, path: &str) -> bool {
    match held.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => held == path,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_allow_what_they_name() {
        let rule: Rule = serde_json::from_value(json!({
            "verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods", "pods/log", "*/scale"],
        }))
        .expect("a rule");
        let on = |verb, group, resource, subresource| {
            rule.allows(&Attributes { verb, group, resource, subresource, ..Attributes::default() })
        };
        assert!(
            on("get", "", "pods", "")
                && on("list", "apps", "pods", "log")
                && on("get", "apps", "any", "scale")
        );
        assert!(
            !on("watch", "", "pods", "") && !on("get", "x", "pods", "") && !on("get", "", "pods", "exec")
        );
        assert!(!on("get", "", "pod", ""));
        assert!(!rule.allows(&Attributes { verb: "get", path: "/healthz", ..Attributes::default() }));
    }

    #[test]
    fn names_and_paths_limit_rules() {
        let rule: Rule = serde_json::from_value(json!({
            "verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"],
            "nonResourceURLs": ["/healthz", "/logs/*"],
        }))
        .expect("a rule");
        let named = |name| {
            rule.allows(&Attributes { verb: "get", resource: "secrets", name, ..Attributes::default() })
        };
        assert!(named("a") && !named("b") && !named(""));
        let path = |path| rule.allows(&Attributes { verb: "get", path, ..Attributes::default() });
        assert!(path("/healthz") && path("/logs/x") && !path("/healthz/x") && !path("/"));
        assert!(Rule::every_path().allows(&Attributes { verb: "get", path: "/x", ..Attributes::default() }));
    }
}
