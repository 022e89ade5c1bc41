//! What is written of which request: an audit policy (`audit.k8s.io/v1`, kind `Policy`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::Subject;

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no policy.
    #[error("it cannot be read as a Policy of audit.k8s.io/v1: {0}")]
    Unreadable(String),
    /// It is something else.
    #[error("it is a {kind} of {api_version}; write a Policy of audit.k8s.io/v1")]
    Kind {
        /// The kind that it names.
        kind: String,
        /// The API version that it names.
        api_version: String,
    },
    /// One of its rules can fit nothing, or not what was meant.
    #[error("rules[{at}]: {why}")]
    Rule {
        /// Position of the rule.
        at: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// An audit policy: the first rule that a request fits says what is written; none writes nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    paths: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Default for Policy {
    /// Everything, without bodies: no secret gets into the log.
    fn default() -> Self {
        Self::parse("{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: Metadata}]}")
            .expect("it is a policy, as a test shows")
    }
}

/// Stages of which nothing is written.
pub(super) type Omitted = BTreeSet<Stage>;

/// What is written of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) level: Level,
    pub(super) omitted: Omitted,
    pub(super) without_managed_fields: bool,
}

impl Policy {
    /// Reads a policy from YAML.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self =
            serde_saphyr::from_str(text).map_err(|error| PolicyError::Unreadable(error.to_string()))?;
        if policy.kind != "Policy" || policy.api_version != "audit.k8s.io/v1" {
            return Err(PolicyError::Kind { kind: policy.kind, api_version: policy.api_version });
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            rule.check().map_err(|why| PolicyError::Rule { at, why })?;
        }
        Ok(policy)
    }

    /// What is written of a request: what the first rule says that it fits, else nothing.
    pub(super) fn of(&self, subject: &Subject) -> Wanted {
        let found = self.rules.iter().find(|rule| rule.fits(subject));
        let own = found.and_then(|rule| rule.omit_managed_fields);
        let omitted = found.into_iter().flat_map(|rule| &rule.omit_stages).chain(&self.omit_stages);
        Wanted {
            level: found.map_or(Level::None, |rule| rule.level),
            omitted: omitted.copied().collect(),
            without_managed_fields: own.unwrap_or(self.omit_managed_fields),
        }
    }
}

fn lists(list: &[String], word: &str) -> bool {
    list.is_empty() || list.iter().any(|one| one == word)
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let about_objects = !self.namespaces.is_empty() || !self.resources.is_empty();
        if about_objects && !self.paths.is_empty() {
            return Err(
                "it names nonResourceURLs beside resources or namespaces; make two rules of it".to_owned()
            );
        }
        for path in self.paths.iter().filter(|path| *path != "*") {
            let star = path.find('*').is_some_and(|at| at + 1 < path.len());
            if !path.starts_with('/') || star {
                return Err(format!(
                    "nonResourceURLs: {path:?} must begin with a slash, and may have a * at its end only"
                ));
            }
        }
        for set in &self.resources {
            if set.group.contains('/') {
                let group = &set.group;
                return Err(format!("resources: group {group:?} must be a group alone, without a version"));
            }
            if !set.resource_names.is_empty() && set.resources.is_empty() {
                return Err("resources: resourceNames needs the resources that they are names of".to_owned());
            }
        }
        Ok(())
    }

    fn fits(&self, subject: &Subject) -> bool {
        let (user, info) = (&subject.user, &subject.info);
        let in_group =
            self.user_groups.is_empty() || user.groups.iter().any(|group| self.user_groups.contains(group));
        if !lists(&self.users, &user.username) || !in_group || !lists(&self.verbs, &info.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_resource && self.fits_object(subject);
        }
        let fits_path = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => subject.path.starts_with(start),
            None => subject.path == *pattern,
        };
        self.paths.is_empty() || (!info.is_resource && self.paths.iter().any(fits_path))
    }

    fn fits_object(&self, subject: &Subject) -> bool {
        let info = &subject.info;
        // `pods/*` means Pods themselves, too, as it does to kube-apiserver.
        let fits = |pattern: &String| match pattern.split_once('/') {
            _ if pattern == "*" => true,
            Some((resource, "*")) => *resource == *info.resource,
            Some(("*", sub)) => *sub == *info.subresource,
            Some((resource, sub)) => *resource == *info.resource && *sub == *info.subresource,
            None => **pattern == *info.resource && info.subresource.is_empty(),
        };
        let in_set = |set: &Resources| {
            let named = lists(&set.resource_names, &info.name);
            *set.group == *info.group
                && (set.resources.is_empty() || (named && set.resources.iter().any(fits)))
        };
        lists(&self.namespaces, &info.namespace)
            && (self.resources.is_empty() || self.resources.iter().any(in_set))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use machinery::admission::UserInfo;

    use super::*;
    use crate::request::RequestInfo;

    fn subject(user: &str, method: &str, path: &str) -> Subject {
        let info = RequestInfo::parse(&method.parse::<Method>().expect("a method"), path, None);
        let user =
            UserInfo { username: user.to_owned(), groups: vec!["g".to_owned()], ..UserInfo::default() };
        Subject { user, info, path: path.to_owned() }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let policy = Policy::parse(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
             - {level: None, users: [robot]}\n\
             - {level: None, nonResourceURLs: ['/healthz*', /version]}\n\
             - {level: Metadata, resources: [{group: '', resources: [secrets, 'pods/*']}], omitStages: [ResponseStarted]}\n\
             - {level: RequestResponse, namespaces: [a], verbs: [create, patch]}\n\
             - {level: Request, resources: [{group: apps}]}\n",
        )
        .expect("a policy");
        for (user, method, path, level) in [
            ("robot", "GET", "/api/v1/namespaces/a/secrets", Level::None),
            ("u", "GET", "/healthz/ping", Level::None),
            ("u", "GET", "/version", Level::None),
            ("u", "GET", "/metrics", Level::None),
            ("u", "POST", "/api/v1/namespaces/a/secrets", Level::Metadata),
            ("u", "GET", "/api/v1/namespaces/a/pods/p/log", Level::Metadata),
            ("u", "POST", "/api/v1/namespaces/a/services", Level::RequestResponse),
            ("u", "GET", "/api/v1/namespaces/a/pods", Level::Metadata),
            ("u", "GET", "/api/v1/namespaces/a/services", Level::None),
            ("u", "GET", "/apis/apps/v1/namespaces/b/deployments", Level::Request),
        ] {
            assert_eq!(policy.of(&subject(user, method, path)).level, level, "{user} {method} {path}");
        }
        let stages = policy.of(&subject("u", "GET", "/api/v1/secrets")).omitted;
        assert_eq!(stages, BTreeSet::from([Stage::RequestReceived, Stage::ResponseStarted]));
        assert_eq!(
            Policy::default().of(&subject("u", "POST", "/api/v1/namespaces/a/secrets")).level,
            Level::Metadata
        );
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let rule = |rule: &str| format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{rule}]");
        for (text, why) in [
            ("apiVersion: v1\nkind: Policy", "write a Policy of audit.k8s.io/v1"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Some}]", "Some"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrulez: []", "rulez"),
            (
                &rule("{level: None, namespaces: [a], nonResourceURLs: ['/a']}"),
                "rules[0]: it names nonResourceURLs",
            ),
            (&rule("{level: None, nonResourceURLs: ['/a/*/b']}"), "at its end only"),
            (&rule("{level: None, resources: [{group: apps/v1}]}"), "without a version"),
            (&rule("{level: None, resources: [{resourceNames: [a]}]}"), "resourceNames needs"),
        ] {
            let told = Policy::parse(text).expect_err("no policy").to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
