//! Names of kinds and resources: group, version, kind; group, version, resource.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a name could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GvkError {
    /// More than one slash.
    #[error("unexpected GroupVersion string: {0:?}: write VERSION or GROUP/VERSION")]
    GroupVersion(String),
}

/// A group and a version, as `apiVersion` holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersion {
    /// Empty for the core group.
    pub group: String,
    /// For example `v1`.
    pub version: String,
}

impl GroupVersion {
    /// From its parts.
    pub fn new(group: impl Into<String>, version: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into() }
    }

    /// Reads `v1` or `apps/v1`; empty text is the empty group and version.
    pub fn parse(text: &str) -> Result<Self, GvkError> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(version), None, _) => Ok(Self::new("", version)),
            (Some(group), Some(version), None) => Ok(Self::new(group, version)),
            _ => Err(GvkError::GroupVersion(text.to_owned())),
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.version)
        } else {
            write!(f, "{}/{}", self.group, self.version)
        }
    }
}

/// Group, version and kind of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gvk {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// For example `Pod`.
    pub kind: String,
}

impl Gvk {
    /// From its parts.
    pub fn new(group: impl Into<String>, version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// From the `apiVersion` and `kind` of an object.
    pub fn from_object(api_version: &str, kind: &str) -> Result<Self, GvkError> {
        let GroupVersion { group, version } = GroupVersion::parse(api_version)?;
        Ok(Self { group, version, kind: kind.to_owned() })
    }

    /// What `apiVersion` holds.
    pub fn api_version(&self) -> String {
        self.group_version().to_string()
    }

    /// The group and version alone.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(self.group.clone(), self.version.clone())
    }

    /// This kind at another version.
    #[must_use]
    pub fn at(&self, version: &str) -> Self {
        Self { version: version.to_owned(), ..self.clone() }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// Group, version and resource (the plural in a URL).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gvr {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// For example `pods`.
    pub resource: String,
}

impl Gvr {
    /// From its parts.
    pub fn new(group: impl Into<String>, version: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into(), resource: resource.into() }
    }

    /// The resource with its group behind a dot, as messages write it: `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    /// The group and version alone.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(self.group.clone(), self.version.clone())
    }
}

impl fmt::Display for Gvr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Resource={}", self.group, self.version, self.resource)
    }
}

/// How versions of one group are ordered for clients: `v2` before `v1` before `v1beta2` before `v1alpha1`
/// before anything else by name. `Less` means preferred.
pub fn version_priority(a: &str, b: &str) -> std::cmp::Ordering {
    fn key(version: &str) -> Option<(u8, u64, u64)> {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = number(&rest[..end])?;
        let (stage, minor) = match &rest[end..] {
            "" => (2, 0),
            tail => {
                let (stage, digits) = tail
                    .strip_prefix("beta")
                    .map(|d| (1, d))
                    .or_else(|| tail.strip_prefix("alpha").map(|d| (0, d)))?;
                (stage, number(digits)?)
            }
        };
        Some((stage, major, minor))
    }
    fn number(digits: &str) -> Option<u64> {
        if digits.starts_with('0') { None } else { digits.parse().ok() }
    }
    match (key(a), key(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_versions_parse_and_print() {
        for text in ["v1", "apps/v1", "kubevirt.io/v1"] {
            assert_eq!(GroupVersion::parse(text).expect("parses").to_string(), text);
        }
        assert!(GroupVersion::parse("a/b/c").is_err());
        assert_eq!(Gvk::from_object("apps/v1", "Deployment").expect("parses").api_version(), "apps/v1");
    }

    #[test]
    fn versions_are_ordered_by_stability_then_number() {
        let mut versions = vec![
            "foo10",
            "v1alpha1",
            "v11beta2",
            "v10",
            "v1",
            "v3beta1",
            "foo1",
            "v2",
            "v12alpha1",
            "v10beta3",
        ];
        versions.sort_by(|a, b| version_priority(a, b));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"]
        );
    }
}
