//! The server: whether it answers, to whom, and what is installed there.

use serde_json::Value;

use super::sight::{Seen, Sight};
use super::{Finding, Grade};

/// API groups, whether nothing works without them, and what needs them.
pub(super) const GROUPS: [(&str, bool, &str); 9] = [
    ("kubevirt.io", true, "virtual machines"),
    (
        "subresources.kubevirt.io",
        true,
        "start, stop, console, vnc, ssh and all else that is done with machines",
    ),
    ("instancetype.kubevirt.io", false, "instance types and preferences"),
    ("snapshot.kubevirt.io", false, "snapshots and restores"),
    ("clone.kubevirt.io", false, "clones"),
    ("export.kubevirt.io", false, "exports"),
    ("pool.kubevirt.io", false, "pools"),
    ("cdi.kubevirt.io", false, "DataVolumes: imports and uploads of disks"),
    ("metrics.k8s.io", false, "processors and memory in use, which virtctl top shows"),
];

/// Whether the server answers.
pub(super) fn reachable(sight: &Sight) -> Finding {
    let subject = "server";
    let address = &sight.address;
    match &sight.version {
        Seen::It(version) => {
            let release = version["gitVersion"].as_str().unwrap_or("of an unknown release");
            Finding::good(subject, format!("{address} answers (Kubernetes {release})"))
        }
        // It answers, whatever it thinks of who asks.
        Seen::Not { code: Some(_), .. } => Finding::good(subject, format!("{address} answers")),
        Seen::Not { code: None, why } => {
            let lower = why.to_lowercase();
            let remedy = if lower.contains("certificate") {
                "let --certificate-authority or the kubeconfig name the authority that signed the server's certificate"
            } else if lower.contains("lookup") || lower.contains("name or service") || lower.contains("dns") {
                "correct the server's name in the kubeconfig, or mend the network: kubectl config view --minify"
            } else if lower.contains("refused") {
                "start the server (`ironclad up`; `ironclad status` says whether it runs), or choose another with --context or --kubeconfig"
            } else {
                "mend the way to the server, or choose another with --context or --kubeconfig"
            };
            Finding::bad(subject, format!("{address} does not answer: {why}"), remedy)
        }
    }
}

/// Whether the server knows who asks.
pub(super) fn user(sight: &Sight) -> Finding {
    let subject = "user";
    match &sight.user {
        Seen::It(review) => {
            let name =
                review.pointer("/status/userInfo/username").and_then(Value::as_str).unwrap_or_default();
            if name == "system:anonymous" {
                return Finding::bad(subject, "the server does not know who you are", LOGIN);
            }
            Finding::good(subject, format!("the server knows you as {name}"))
        }
        Seen::Not { code: Some(401), .. } => {
            Finding::bad(subject, "the server does not accept who you say you are", LOGIN)
        }
        Seen::Not { .. } => Finding::good(subject, "the server does not tell as whom it knows you"),
    }
}

const LOGIN: &str =
    "renew the credentials of the kubeconfig's user, or give others: --token, --client-certificate";

/// Whether the API groups are there, and of which release.
pub(super) fn groups(sight: &Sight) -> Vec<Finding> {
    let mut findings = served(sight);
    if let Some(older) = &sight.older {
        let lines: Vec<_> = older.lines().filter(|line| line.contains("Version: ")).collect();
        findings.push(Finding::limited(
            "release",
            format!("server and client are of different releases: {}", lines.join(", ")),
            "use the virtctl of the server's release",
        ));
    }
    findings
}

fn served(sight: &Sight) -> Vec<Finding> {
    let subject = "API";
    let Some(groups) = sight.groups.it().and_then(|groups| groups["groups"].as_array()) else {
        let Seen::Not { why, .. } = &sight.groups else { return Vec::new() };
        return vec![Finding::limited(
            subject,
            format!("the server does not tell which API groups it has: {why}"),
            "ask for the right to read /apis (the role system:discovery)",
        )];
    };
    let missing: Vec<_> =
        GROUPS.iter().filter(|(name, ..)| !groups.iter().any(|group| group["name"] == *name)).collect();
    let mut findings: Vec<_> = missing
        .iter()
        .filter(|(_, needed, _)| *needed)
        .map(|(name, _, what)| {
            let remedy = if *name == "kubevirt.io" {
                "install KubeVirt or Ironclad there, or choose another server with --context"
            } else {
                "look why it is not available: kubectl get apiservices; kubectl get pods --all-namespaces -l kubevirt.io=virt-api"
            };
            Finding::bad(subject, format!("{name} is missing: {what}"), remedy)
        })
        .collect();
    let rest: Vec<_> = missing
        .iter()
        .filter(|(_, needed, _)| !needed)
        .map(|(name, _, what)| format!("{what} ({name})"))
        .collect();
    if !rest.is_empty() {
        let meaning = format!("these are not offered: {}", rest.join("; "));
        findings.push(Finding::limited(subject, meaning, "go on without them, or have them installed"));
    }
    if findings.is_empty() {
        findings.push(Finding::good(subject, "all groups of virtual machines are served"));
    }
    findings
}

/// Whether the installation says that it works.
pub(super) fn installation(sight: &Sight) -> Option<Finding> {
    let subject = "installation";
    let installations = sight.installation.items()?;
    let [installation] = installations.as_slice() else {
        return Some(Finding::limited(
            subject,
            format!("there are {} KubeVirt resources, and there should be one", installations.len()),
            "create the KubeVirt resource, or delete those that are too many: kubectl get kubevirt --all-namespaces",
        ));
    };
    let text = |pointer: &str| installation.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name, phase) =
        (text("/metadata/namespace"), text("/metadata/name"), text("/status/phase"));
    let conditions = installation["status"]["conditions"].as_array().into_iter().flatten();
    let wrong = conditions.clone().find(|condition| {
        (condition["type"] == "Available" && condition["status"] == "False")
            || (condition["type"] == "Degraded" && condition["status"] == "True")
    });
    let message = wrong.map(|wrong| wrong["message"].as_str().unwrap_or_default());
    let grade = match (message, phase) {
        (None, "Deployed" | "") => Grade::Good,
        _ => Grade::Limited,
    };
    let shown = if phase.is_empty() { "without a phase" } else { phase };
    let said = message
        .filter(|message| !message.is_empty())
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    Some(match grade {
        Grade::Good => Finding::good(subject, format!("KubeVirt {namespace}/{name} is {shown}")),
        _ => Finding::limited(
            subject,
            format!("KubeVirt {namespace}/{name} is {shown}{said}"),
            format!("look at it: kubectl describe kubevirt {name} --namespace={namespace}"),
        ),
    })
}
