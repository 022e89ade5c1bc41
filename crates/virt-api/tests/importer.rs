//! Admission of CDI's kinds, as an API server uses it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

use std::sync::Arc;

use effects::{SeededEntropy, VirtualClock};
use machinery::admission::{Operation, Request, Response, UserInfo};
use machinery::gvk::{Gvk, Gvr};
use serde_json::{Value, json};
use virt_api::{Admission, Lookup};

/// A namespace with the claims `plain` and `made`, of which the latter is a DataVolume's; and three DataVolumes.
#[derive(Debug)]
struct Claims;

#[async_trait::async_trait]
impl Lookup for Claims {
    async fn instance(&self, _: &str, _: &str) -> Option<api::kubevirt::v1::VirtualMachineInstance> {
        None
    }

    async fn volume(&self, kind: &str, _: &str, name: &str) -> Option<Value> {
        let owner = json!({"kind": "DataVolume", "name": "made", "controller": true});
        match (kind, name) {
            ("PersistentVolumeClaim", "plain") => Some(json!({"name": "plain"})),
            ("PersistentVolumeClaim", "made") => Some(json!({"name": "made", "ownerReferences": [owner]})),
            _ => None,
        }
    }

    async fn data_volumes(&self) -> usize {
        3
    }

    async fn is_migrating(&self, _: &str, _: &str, _: &str) -> bool {
        false
    }

    async fn has_other_installation(&self, _: &str, _: &str) -> bool {
        false
    }

    async fn has_installation(&self, _: &str) -> bool {
        false
    }

    async fn workload(&self) -> Option<&'static str> {
        None
    }
}

fn request(kind: &str, name: &str, spec: Value) -> Request {
    let plural = format!("{}s", kind.to_lowercase());
    Request {
        uid: "1".to_owned(),
        kind: Gvk::new("cdi.kubevirt.io", "v1beta1", kind),
        resource: Gvr::new("cdi.kubevirt.io", "v1beta1", plural),
        sub_resource: String::new(),
        name: name.to_owned(),
        namespace: "ns".to_owned(),
        operation: Operation::Create,
        user_info: UserInfo { username: "alice".to_owned(), ..UserInfo::default() },
        object: json!({"metadata": {"name": name, "namespace": "ns"}, "spec": spec}),
        old_object: Value::Null,
        dry_run: false,
        options: Value::Null,
    }
}

fn answer(request: &Request) -> Response {
    let clock = VirtualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
    let admission = Admission::new(Arc::new(Claims), Arc::new(clock), Arc::new(SeededEntropy::new(7)));
    let group = &request.resource.group;
    assert!(Admission::concerns(group, &request.resource.resource, &request.sub_resource));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(admission.validate(request)).poll(&mut context) {
        std::task::Poll::Ready(response) => response,
        std::task::Poll::Pending => unreachable!("admission does not wait"),
    }
}

/// Returns code, and reason and field of the first cause.
fn refused(request: &Request) -> (u16, String, String) {
    let status = answer(request).status.unwrap();
    let cause = status.details.and_then(|details| details.causes.into_iter().next()).unwrap_or_default();
    (status.code, cause.reason, cause.field)
}

fn blank() -> Value {
    json!({"source": {"blank": {}}, "storage": {"resources": {"requests": {"storage": "1Gi"}}}})
}

#[test]
fn what_is_only_kept_says_so() {
    for (kind, spec) in [
        ("DataVolume", blank()),
        ("DataSource", json!({"source": {"pvc": {"namespace": "ns", "name": "c"}}})),
        ("VolumeUploadSource", json!({"contentType": "kubevirt"})),
        ("CDIConfig", json!({"featureGates": ["HonorWaitForFirstConsumer"]})),
        ("UploadTokenRequest", json!({"pvcName": "c"})),
    ] {
        let response = answer(&request(kind, "o", spec));
        assert!(response.allowed, "{kind}: {response:?}");
        assert_eq!(response.warnings.len(), 1, "{kind}");
        assert!(
            response.warnings[0].starts_with("ironclad: spec has no effect: "),
            "{:?}",
            response.warnings
        );
    }
    let own = answer(&request("StorageProfile", "local", json!({})));
    assert!(own.allowed && own.warnings.is_empty(), "nothing is asked for: {own:?}");
}

#[test]
fn a_claim_that_is_somebodys_is_not_taken() {
    let taken = (422, "FieldValueDuplicate".to_owned(), "DataVolume.Name".to_owned());
    let mut volume = request("DataVolume", "plain", blank());
    assert_eq!(refused(&volume), taken);
    volume.object["metadata"]["annotations"] = json!({"cdi.kubevirt.io/allowClaimAdoption": "true"});
    assert!(answer(&volume).allowed);
    assert!(answer(&request("DataVolume", "made", blank())).allowed);
}

#[test]
fn what_fills_a_volume_is_not_changed_and_finalizers_are() {
    let mut update = request("DataVolume", "d", json!({"source": {"upload": {}}}));
    update.operation = Operation::Update;
    update.old_object = request("DataVolume", "d", blank()).object;
    let fixed = (422, "FieldValueDuplicate".to_owned(), "DataVolume.Spec".to_owned());
    assert_eq!(refused(&update), fixed);
    // What the rules would refuse today stays movable.
    update.old_object = update.object.clone();
    update.object["metadata"]["finalizers"] = json!(["a/b"]);
    assert!(answer(&update).allowed);
}

#[test]
fn an_importer_that_shall_stay_stays_while_there_are_data_volumes() {
    let delete = |strategy: &str, phase: &str| {
        let mut delete = request("CDI", "cdi", Value::Null);
        delete.operation = Operation::Delete;
        delete.object = Value::Null;
        delete.old_object = json!({"spec": {"uninstallStrategy": strategy}, "status": {"phase": phase}});
        answer(&delete)
    };
    let refused = delete("BlockUninstallIfWorkloadsExist", "Deployed").status.unwrap();
    assert!(refused.code == 400 && refused.message.contains("3 DataVolumes"), "{refused:?}");
    assert!(delete("BlockUninstallIfWorkloadsExist", "Error").allowed);
    assert!(delete("RemoveWorkloads", "Deployed").allowed);
}

#[test]
fn a_transfer_needs_a_target_that_is_free() {
    let transfer = |source: Value, target: Value| {
        let transfer = request("ObjectTransfer", "t", json!({"source": source, "target": target}));
        answer(&transfer).status.map(|status| (status.code, status.message))
    };
    let claim = |name: &str| json!({"kind": "PersistentVolumeClaim", "namespace": "a", "name": name});
    assert_eq!(transfer(claim("c"), json!({"namespace": "b"})), None);
    for (source, target, said) in [
        (claim("c"), json!({}), "spec.target.namespace"),
        (claim("c"), json!({"name": "plain"}), "a/plain is there already"),
        (json!({"kind": "Pod", "namespace": "a", "name": "p"}), json!({"name": "q"}), "spec.source.kind"),
    ] {
        let (code, message) = transfer(source, target).unwrap();
        assert!(code == 400 && message.contains(said), "{message}");
    }
}
