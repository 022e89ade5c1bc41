//! Annotations that say with which version of the API an object was last looked at, and in which it was first stored.
//! Whoever upgrades the stored version reads them.

use std::collections::BTreeMap;

use api::names::annotation;

/// The version of the API that the controllers speak.
const VERSION: &str = "v1";

/// Returns the annotations as they should be.
pub fn annotations() -> BTreeMap<String, String> {
    [annotation::OBSERVED_API_VERSION, annotation::STORAGE_API_VERSION]
        .map(|name| (name.to_owned(), VERSION.to_owned()))
        .into()
}

/// Tells whether an object with these annotations was looked at with this version.
pub fn is_marked(annotations: &BTreeMap<String, String>) -> bool {
    self::annotations().iter().all(|(name, version)| annotations.get(name) == Some(version))
}

/// Keeps of an object's annotations those that are this module's.
pub fn keep(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = self::annotations();
    annotations
        .iter()
        .filter(|(name, _)| own.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
