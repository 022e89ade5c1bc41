//! What the API server must know of virt-api: which writes to ask it about, and which API group it answers.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_ext::{Api, Client, Key, PartialObject, Patch, Resource, resources};
use serde_json::{Value, json};
use virt_api::KINDS;
use virt_api::subresource::{GROUP, VERSIONS};

use super::Service;
use super::server::{MUTATE, VALIDATE};

/// As whom the objects are applied.
const MANAGER: &str = "virt-api";
/// Seconds that the API server waits for an answer.
const PATIENCE: u32 = 10;

/// Writes all objects, or brings them up to date.
pub(super) async fn all(client: &Client, service: &Service, authority: &str) -> Result<()> {
    for (resource, object) in objects(service, authority) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let kind = resource.kind.clone();
        let patch = Patch::Apply { manager: MANAGER.to_owned(), object };
        let applied = Api::<PartialObject>::of(client, resource).patch(&Key::cluster(&name), &patch).await;
        applied.with_context(|| format!("registering as {kind} {name}"))?;
    }
    Ok(())
}

fn objects(service: &Service, authority: &str) -> Vec<(Resource, Value)> {
    let authority = STANDARD.encode(authority);
    let rule = |operations: &[&str], resources: &[&str]| {
        json!({
            "apiGroups": ["kubevirt.io"], "apiVersions": ["v1"], "operations": operations,
            "resources": resources, "scope": "Namespaced",
        })
    };
    let writes = |resources: &[&str]| rule(&["CREATE", "UPDATE"], resources);
    // The kinds beside machines are served in several versions, and some belong to no namespace.
    let kinds = |group: &str, resources: &[&str]| {
        json!({
            "apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": resources, "scope": "*",
        })
    };
    let mut judged = vec![
        writes(&[
            "virtualmachines",
            "virtualmachines/status",
            "virtualmachineinstances",
            "virtualmachineinstancemigrations",
            "kubevirts",
        ]),
        rule(&["DELETE"], &["kubevirts"]),
    ];
    judged.extend(KINDS.iter().map(|(group, resources)| kinds(group, resources)));
    let webhook = |name: &str, path: &str, rules: &[Value]| {
        json!([{
            "name": name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "caBundle": authority,
                "service": {
                    "namespace": service.namespace, "name": service.name, "port": service.port, "path": path,
                },
            },
            // Requests in other versions are converted to this one before they are asked about.
            "rules": rules,
            "matchPolicy": "Equivalent",
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": PATIENCE,
        }])
    };
    let admission = |kind: &'static str, plural: &'static str, name: &str, webhooks: Value| {
        let resource = Resource::cluster("admissionregistration.k8s.io", "v1", kind, plural);
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": name}, "webhooks": webhooks,
        });
        (resource, object)
    };
    let mut objects = vec![
        admission(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
            "virt-api-mutator",
            webhook(
                "virt-api-mutator.kubevirt.io",
                MUTATE,
                &[
                    writes(&[
                        "virtualmachines",
                        "virtualmachineinstances",
                        "virtualmachineinstancemigrations",
                    ]),
                    kinds("clone.kubevirt.io", &["virtualmachineclones"]),
                ],
            ),
        ),
        admission(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
            "virt-api-validator",
            webhook("virt-api-validator.kubevirt.io", VALIDATE, &judged),
        ),
    ];
    objects.extend(VERSIONS.iter().enumerate().map(|(index, version)| {
        let object = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{version}.{GROUP}")},
            "spec": {
                "group": GROUP, "version": version,
                "groupPriorityMinimum": 1000, "versionPriority": 15 - index,
                "caBundle": authority,
                "service": {"namespace": service.namespace, "name": service.name, "port": service.port},
            },
        });
        (resources::API_SERVICE, object)
    }));
    objects
}

#[cfg(test)]
mod tests {
    use virt_api::Admission;

    use super::*;

    #[test]
    fn exactly_what_admission_answers_is_registered() {
        let service = "kubevirt/virt-api:443".parse().unwrap();
        let objects = objects(&service, "pem");
        let kinds: Vec<_> = objects.iter().map(|(resource, _)| &*resource.kind).collect();
        assert_eq!(
            kinds,
            ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService", "APIService"]
        );
        for (_, object) in &objects[..2] {
            let rules = object["webhooks"][0]["rules"].as_array().unwrap();
            for rule in rules {
                let group = rule["apiGroups"][0].as_str().unwrap();
                for resource in rule["resources"].as_array().unwrap() {
                    let text = resource.as_str().unwrap();
                    let (resource, part) = text.split_once('/').unwrap_or((text, ""));
                    assert!(Admission::concerns(group, resource, part), "{group} {resource}/{part}");
                }
            }
        }
        assert_eq!(objects[2].1["metadata"]["name"], "v1.subresources.kubevirt.io");
        assert_eq!(objects[3].1["spec"]["caBundle"], "cGVt");
    }
}
