//! An image that cannot be had.

use super::Verdict;
use super::facts::{Facts, list, text};

/// Reasons of containers that wait for an image.
const REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// Whether a reason is about an image.
pub(super) fn is_about(reason: &str) -> bool {
    REASONS.contains(&reason)
}

/// Tells why an image cannot be had. `told` are the words of `who`.
pub(super) fn verdict(facts: &Facts, reason: &str, told: &str, who: &str) -> Verdict {
    // Whoever waits for the next try no longer says what happened; an Event does.
    let waits = told.is_empty() || told.to_lowercase().starts_with("back-off");
    let event = facts.events.iter().filter(|event| {
        waits && text(event, "/reason") == "Failed" && text(event, "/message").contains("image")
    });
    let event = event.map(|event| text(event, "/message")).max_by_key(|message| message.len());
    let words = event.unwrap_or(told);
    let image = named(facts, &format!("{told} {words}"));
    let what = image.as_deref().map_or_else(|| "an image".to_owned(), |image| format!("the image {image}"));
    // What the image and its addresses are called says nothing about what is wrong.
    let told = image.as_deref().map_or_else(|| words.to_owned(), |image| words.replace(image, ""));
    let lower = told
        .to_lowercase()
        .split_inclusive(char::is_whitespace)
        .map(|word| if word.contains("://") { " " } else { word })
        .collect::<String>();
    let says = |any: &[&str]| any.iter().any(|part| lower.contains(part));
    let names = |any: &[&str]| {
        lower.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| any.contains(&word))
    };
    let field = format!("{}.volumes[].containerDisk.image", facts.prefix());
    let (why, next) = if reason == "InvalidImageName" {
        (format!("{what} has a name that no registry can have"), format!("Correct {field}"))
    } else if reason == "ErrImageNeverPull" {
        (
            format!("{what} is not on the node, and may not be pulled"),
            format!(
                "Load it (`ironclad image load ARCHIVE`), or set {}",
                field.replace("image", "imagePullPolicy: IfNotPresent")
            ),
        )
    } else if says(&["is not on this node"]) {
        (
            format!("{what} is not on its node, and no registry has it"),
            format!("Load it there (ironclad image load ARCHIVE), or correct {field}"),
        )
    } else if says(&["no space", "no room", "disk quota"]) {
        (
            format!("the node has no room for {what}"),
            "Free some space on the node; it is tried again by itself".to_owned(),
        )
    } else if lower.contains("secret") && lower.contains("not found") {
        (
            format!("the pull secret for {what} does not exist"),
            "Create it: kubectl create secret docker-registry NAME --docker-server=... --docker-username=... --docker-password=..."
                .to_owned(),
        )
    } else if says(&["authentication required", "asks for a login", "the login service"])
        || names(&["unauthorized", "denied", "forbidden", "401", "403"])
    {
        (
            format!("the registry does not give {what} to it"),
            format!(
                "Name a secret with rights in {}, or correct the image's name",
                field.replace("image", "imagePullSecret")
            ),
        )
    } else if says(&["certificate", "x509", "tls handshake", "tls:"]) {
        (
            format!("the registry of {what} shows a certificate that the node does not trust"),
            "Let the node trust the registry's certificate authority".to_owned(),
        )
    } else if says(&["no variant for", "no matching manifest", "no match for platform", "exec format error"])
    {
        (
            format!("{what} is made for other processors than its node's"),
            format!(
                "Name an image with a variant for the node's architecture in {field}: kubectl get nodes -L kubernetes.io/arch"
            ),
        )
    } else if says(&[
        "damaged",
        "cut short",
        "no valid oci",
        "not a valid oci",
        "bad entry",
        "holds no image",
        "push the image again",
    ]) {
        (format!("{what} is broken"), "Push the image again; it is pulled again by itself".to_owned())
    } else if says(&[
        "has no such image",
        ": not found",
        "manifest unknown",
        "does not exist",
        "name unknown",
    ]) || names(&["404"])
    {
        (
            format!("{what} does not exist"),
            format!("Correct {field}, or load it on the node: ironclad image load ARCHIVE"),
        )
    } else if says(&[
        "cannot be reached",
        "fell silent",
        "no such host",
        "timed out",
        "name or service not known",
        "temporary failure in name resolution",
        "dial tcp",
        "i/o timeout",
        "connection refused",
        "connection reset",
    ]) || names(&["timeout", "unreachable"])
    {
        (
            format!("the registry of {what} cannot be reached"),
            format!("Make the registry reachable from the node, or correct its name in {field}"),
        )
    } else {
        (
            format!("{what} cannot be pulled"),
            format!(
                "Correct {field}, make its registry reachable, or load it on the node: ironclad image load ARCHIVE"
            ),
        )
    };
    Verdict::stuck(why).because(format!("{reason}: {words} ({who})")).so(next)
}

/// Finds which image it is: the one that the words name, or the only one.
fn named(facts: &Facts, words: &str) -> Option<String> {
    let disks = list(facts.definition(), "/volumes").map(|volume| text(volume, "/containerDisk/image"));
    let containers: Vec<&str> = facts
        .pods
        .iter()
        .flat_map(|pod| list(pod, "/spec/containers").chain(list(pod, "/spec/initContainers")))
        .map(|container| text(container, "/image"))
        .filter(|image| !image.is_empty())
        .collect();
    let kernel = text(facts.definition(), "/domain/firmware/kernelBoot/container/image");
    let mut images: Vec<&str> = disks.chain([kernel]).filter(|image| !image.is_empty()).collect();
    if let [only] = images[..] {
        // That it is the launcher's is possible, but it would be said.
        let other = containers.into_iter().find(|image| *image != only && words.contains(*image));
        return Some(other.unwrap_or(only).to_owned());
    }
    images.extend(containers);
    images.into_iter().find(|image| words.contains(*image)).map(str::to_owned)
}
