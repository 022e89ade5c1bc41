//! What a namespace waits for that does not go, in Kubernetes' own conditions.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Observed;
use crate::condition::{self, Condition};

/// Returns the namespace's conditions as they should be; those of others are kept.
pub(super) fn conditions(observed: &Observed, now: Timestamp) -> Vec<Condition> {
    let mut conditions = observed.conditions.clone();
    let said = [
        discovery(observed),
        Condition::new(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        deletion(observed),
        content(observed),
        finalizers(observed),
    ];
    for condition in said {
        condition::set(&mut conditions, condition, now);
    }
    conditions
}

fn discovery(observed: &Observed) -> Condition {
    const KIND: &str = "NamespaceDeletionDiscoveryFailure";
    if observed.undiscovered.is_empty() {
        return Condition::new(KIND, false, "ResourcesDiscovered", "All resources successfully discovered");
    }
    let (count, why) = (observed.undiscovered.len(), observed.undiscovered.join(", "));
    let message = format!(
        "Discovery failed for some groups, {count} failing: unable to retrieve the complete list of server APIs: {why}"
    );
    Condition::new(KIND, true, "DiscoveryFailed", message)
}

fn deletion(observed: &Observed) -> Condition {
    const KIND: &str = "NamespaceDeletionContentFailure";
    if observed.failures.is_empty() {
        let message = "All content successfully deleted, may be waiting on finalization";
        return Condition::new(KIND, false, "ContentDeleted", message);
    }
    let (count, why) = (observed.failures.len(), observed.failures.join(", "));
    let message = format!("Failed to delete all resource types, {count} remaining: {why}");
    Condition::new(KIND, true, "ContentDeletionFailed", message)
}

fn content(observed: &Observed) -> Condition {
    const KIND: &str = "NamespaceContentRemaining";
    let mut left: Vec<String> = observed
        .contents
        .iter()
        .filter(|remainder| remainder.all > 0)
        .map(|remainder| {
            // The core group has no name; Kubernetes writes the dot all the same.
            let dot = if remainder.resource.contains('.') { "" } else { "." };
            format!("{}{dot} has {} resource instances", remainder.resource, remainder.all)
        })
        .collect();
    if left.is_empty() {
        return Condition::new(KIND, false, "ContentRemoved", "All content successfully removed");
    }
    left.sort();
    let message = format!("Some resources are remaining: {}", left.join(", "));
    Condition::new(KIND, true, "SomeResourcesRemain", message)
}

fn finalizers(observed: &Observed) -> Condition {
    const KIND: &str = "NamespaceFinalizersRemaining";
    let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
    for (finalizer, count) in observed.contents.iter().flat_map(|remainder| &remainder.finalizers) {
        *waits.entry(finalizer).or_default() += count;
    }
    if waits.is_empty() {
        return Condition::new(
            KIND,
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        );
    }
    let waits: Vec<String> =
        waits.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    let message = format!("Some content in the namespace has finalizers remaining: {}", waits.join(", "));
    Condition::new(KIND, true, "SomeFinalizersRemain", message)
}
