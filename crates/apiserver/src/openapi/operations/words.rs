//! How operations are called, by which clients made from the documents call their functions.

/// The group and version that an operation is of.
#[derive(Debug)]
pub(super) struct Names {
    group: String,
    version: String,
}

impl Names {
    pub(super) fn new(group: &str, version: &str) -> Self {
        let group = if group.is_empty() { "core" } else { group.trim_end_matches(".k8s.io") };
        Self { group: group.to_owned(), version: version.to_owned() }
    }

    /// A group without any of its versions.
    pub(super) fn of_group(group: &str) -> Self {
        Self::new(group, "")
    }

    /// The identifier of an operation, such as `listCoreV1NamespacedPod`: what is done comes first.
    pub(super) fn id(&self, what: &str, rest: &str) -> String {
        format!("{what}{}{}{}", joined(&self.group, true), joined(&self.version, true), joined(rest, true))
    }

    /// By what operations are gathered: `core_v1`.
    pub(super) fn tag(&self) -> String {
        match self.version.as_str() {
            "" => joined(&self.group, false),
            version => format!("{}_{}", joined(&self.group, false), joined(version, false)),
        }
    }
}

/// Joins the words of a text into one, each but the first beginning with a capital.
fn joined(text: &str, mut capital: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c.is_alphabetic() || c == '_' || (at > 0 && c.is_numeric()) {
            if std::mem::take(&mut capital) {
                out.extend(c.to_uppercase());
            } else {
                out.push(c);
            }
        } else {
            capital = true;
        }
    }
    out
}

/// A word with a capital at its beginning.
pub(super) fn title(word: &str) -> String {
    let mut rest = word.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// The article before a kind, between spaces; a space alone before a plural.
pub(super) fn article(kind: &str) -> &'static str {
    match kind.as_bytes().first() {
        _ if kind.ends_with('s') && !kind.ends_with("ss") => " ",
        Some(first) if b"aeiou".contains(&first.to_ascii_lowercase()) => " an ",
        _ => " a ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_generated_clients_have() {
        for (group, version, what, rest, id, tag) in [
            ("", "v1", "list", "NamespacedPod", "listCoreV1NamespacedPod", "core_v1"),
            (
                "rbac.authorization.k8s.io",
                "v1",
                "delete",
                "CollectionClusterRole",
                "deleteRbacAuthorizationV1CollectionClusterRole",
                "rbacAuthorization_v1",
            ),
            (
                "example-x.test",
                "v1beta1",
                "create",
                "Widget",
                "createExampleXTestV1beta1Widget",
                "exampleXTest_v1beta1",
            ),
            ("apps", "", "get", "APIGroup", "getAppsAPIGroup", "apps"),
        ] {
            let names = Names::new(group, version);
            assert_eq!((names.id(what, rest).as_str(), names.tag().as_str()), (id, tag));
        }
        assert_eq!([article("Endpoints"), article("Ingress"), article("Pod")], [" ", " an ", " a "]);
    }
}
