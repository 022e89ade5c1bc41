//! Whether some rules allow all that others do: nobody may give away more than they hold.

use super::Rule;
use super::rule::{resource_matches, url_matches};

/// Returns the parts of `wanted` that no rule of `held` takes in, each as a rule with one verb, group, resource and
/// name (or one verb and path).
pub fn missing(held: &[&Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| takes_in(rule, part))).collect()
}

/// Splits a rule into its smallest parts.
fn parts(rule: &Rule) -> Vec<Rule> {
    let single = |text: &str| -> Box<[Box<str>]> { Box::new([text.into()]) };
    let mut parts = Vec::new();
    for verb in &rule.verbs {
        for url in &rule.urls {
            parts.push(Rule { verbs: single(verb), urls: single(url), ..Rule::default() });
        }
        for group in &rule.groups {
            for resource in &rule.resources {
                let part = Rule {
                    verbs: single(verb),
                    groups: single(group),
                    resources: single(resource),
                    ..Rule::default()
                };
                if rule.names.is_empty() {
                    parts.push(part);
                } else {
                    parts.extend(rule.names.iter().map(|name| Rule { names: single(name), ..part.clone() }));
                }
            }
        }
    }
    parts
}

fn takes_in(held: &Rule, part: &Rule) -> bool {
    let any = |list: &[Box<str>], wanted: &[Box<str>]| {
        wanted.iter().all(|wanted| list.iter().any(|item| &**item == "*" || item == wanted))
    };
    if !any(&held.verbs, &part.verbs) {
        return false;
    }
    if let Some(url) = part.urls.first() {
        // A wanted path may itself end in `*`; as text it must then begin with what is held.
        return held.urls.iter().any(|held| held == url || url_matches(held, url));
    }
    let resource = part.resources.first().map_or("", |resource| &**resource);
    let takes_resource = held.resources.iter().any(|held| match resource.split_once('/') {
        _ if &**held == resource => true,
        // `*` wanted is more than anything but `*` held.
        _ if resource == "*" => &**held == "*",
        Some((main, sub)) => resource_matches(held, main, sub),
        None => resource_matches(held, resource, ""),
    });
    let names = held.names.is_empty() || part.names.first().is_some_and(|name| held.names.contains(name));
    any(&held.groups, &part.groups) && takes_resource && names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(value: serde_json::Value) -> Rule {
        serde_json::from_value(value).expect("a rule")
    }

    #[test]
    fn more_than_is_held_is_missing() {
        let held =
            rule(json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/scale"]}));
        let named = rule(
            json!({"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}),
        );
        let paths = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}));
        let held = [&held, &named, &paths];
        let count = |value| missing(&held, &[rule(value)]).len();
        assert_eq!(count(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "rs/scale"]})), 0);
        assert_eq!(
            count(json!({"verbs": ["get", "watch"], "apiGroups": ["", "x"], "resources": ["pods"]})),
            3
        );
        assert_eq!(count(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]})), 1);
        assert_eq!(count(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*"]})), 1);
        assert_eq!(count(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]})), 1);
        assert_eq!(
            count(
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"]})
            ),
            1
        );
        assert_eq!(count(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]})), 1);
        assert_eq!(count(json!({"verbs": ["get"], "nonResourceURLs": ["/logs/x", "/logs/x*", "/l*"]})), 1);
        let all = [&Rule::everything()];
        assert_eq!(
            missing(&all, &[rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}))]).len(),
            0
        );
    }

    mod random {
        use proptest::collection::vec;
        use proptest::prelude::*;
        use proptest::sample::select;

        use super::super::*;
        use crate::auth::attributes::Attributes;

        fn words(all: &'static [&'static str]) -> impl Strategy<Value = Box<[Box<str>]>> {
            vec(select(all), 0..3).prop_map(|words| words.into_iter().map(Into::into).collect())
        }

        fn rule() -> impl Strategy<Value = Rule> {
            let resources = words(&["*", "pods", "pods/log", "*/log", "nodes"]);
            let urls = words(&["*", "/a", "/a*", "/a/*", "/a/b"]);
            (words(&["*", "get", "list"]), words(&["*", "", "x"]), resources, words(&["a", "b"]), urls)
                .prop_map(|(verbs, groups, resources, names, urls)| Rule {
                    verbs,
                    groups,
                    resources,
                    names,
                    urls,
                })
        }

        proptest! {
            /// If nothing is missing, nothing that the wanted rules allow is beyond those held.
            #[test]
            fn nobody_gains(held in vec(rule(), 0..4), wanted in vec(rule(), 0..3)) {
                let held: Vec<&Rule> = held.iter().collect();
                prop_assume!(missing(&held, &wanted).is_empty());
                let may = |attributes: &Attributes<'_>| held.iter().any(|rule| rule.allows(attributes));
                for verb in ["get", "list", "other"] {
                    for path in ["/", "/a", "/a/b", "/a/c", "/ab"] {
                        let attributes = Attributes { verb, path, ..Attributes::default() };
                        prop_assert!(!wanted.iter().any(|rule| rule.allows(&attributes)) || may(&attributes), "{path}");
                    }
                    for (resource, subresource) in [("pods", ""), ("pods", "log"), ("nodes", ""), ("any", "log")] {
                        for group in ["", "x", "y"] {
                            for name in ["", "a", "b", "c"] {
                                let attributes =
                                    Attributes { verb, group, resource, subresource, name, ..Attributes::default() };
                                let gained = wanted.iter().any(|rule| rule.allows(&attributes)) && !may(&attributes);
                                prop_assert!(!gained, "{attributes:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
