//! Admission as an API server uses it: what is filled in, refused and warned of.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::sync::Arc;

use api::kubevirt::v1::{KubeVirt, VirtualMachineInstance};
use base64::Engine as _;
use effects::{SeededEntropy, VirtualClock};
use machinery::admission::{Operation, Request, Response, UserInfo};
use machinery::gvk::{Gvk, Gvr};
use serde_json::{Value, json};
use virt_api::{Admission, Lookup, NoLookup};

const HANDLER: &str = "system:serviceaccount:kubevirt:kubevirt-handler";

fn admission(lookup: Arc<dyn Lookup>) -> Admission {
    let clock = VirtualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
    Admission::new(lookup, Arc::new(clock), Arc::new(SeededEntropy::new(7)))
}

fn request(kind: &str, object: Value) -> Request {
    let plural = format!("{}s", kind.to_lowercase());
    Request {
        uid: "1".to_owned(),
        kind: Gvk::new("kubevirt.io", "v1", kind),
        resource: Gvr::new("kubevirt.io", "v1", plural),
        sub_resource: String::new(),
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        namespace: "ns".to_owned(),
        operation: Operation::Create,
        user_info: UserInfo { username: "alice".to_owned(), ..UserInfo::default() },
        object,
        old_object: Value::Null,
        dry_run: false,
        options: Value::Null,
    }
}

fn update(kind: &str, user: &str, old: Value, new: Value) -> Request {
    Request {
        operation: Operation::Update,
        old_object: old,
        user_info: UserInfo { username: user.to_owned(), ..UserInfo::default() },
        ..request(kind, new)
    }
}

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("admission does not wait"),
    }
}

fn patched(mut object: Value, response: &Response) -> Value {
    let Some(patch) = &response.patch else {
        return object;
    };
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
    for step in serde_json::from_slice::<Vec<Value>>(&patch).unwrap() {
        let part = step["path"].as_str().unwrap().trim_start_matches('/').to_owned();
        match step["op"].as_str().unwrap() {
            "remove" => drop(object.as_object_mut().unwrap().remove(&part)),
            _ => object[part] = step["value"].clone(),
        }
    }
    object
}

fn causes(response: &Response) -> Vec<(String, String)> {
    let details = response.status.as_ref().unwrap().details.clone().unwrap_or_default();
    details.causes.into_iter().map(|cause| (cause.reason, cause.field)).collect()
}

/// Clients show a cause as "FIELD: MESSAGE".
#[test]
fn every_refusal_names_its_field() {
    let admission = admission(Arc::new(NoLookup));
    let refused = |request: &Request| {
        let mut answer = now(admission.mutate(request));
        if answer.allowed {
            answer = now(admission.validate(request));
        }
        assert!(!answer.allowed, "{}", request.object);
        causes(&answer).into_iter().map(|(_, field)| field).collect::<Vec<_>>()
    };
    let changed = |pointer: &str, value: Value| {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut object = instance();
        object.pointer_mut(parent).unwrap()[name] = value;
        request("VirtualMachineInstance", object)
    };
    for (pointer, value, field) in [
        ("/spec/domain/memory", json!({}), "spec.domain.memory.guest"),
        ("/spec/domain/memory", json!({"guest": "64Mi", "maxGuest": "32Mi"}), "spec.domain.memory.guest"),
        ("/spec/tolerations", json!([{"operator": "Nosuch"}]), "spec.tolerations[0].operator"),
        (
            "/spec/volumes",
            json!([{"name": "d", "downwardAPI": {"fields": [{"path": true}]}}]),
            "spec.volumes[0].downwardAPI.fields[0].path",
        ),
        ("/spec/bogus", json!(1), "spec.bogus"),
    ] {
        assert_eq!(refused(&changed(pointer, value)), [field]);
    }
    let mut other = instance();
    other["spec"]["hostname"] = json!("h");
    let change = update("VirtualMachineInstance", "alice", instance(), other);
    assert_eq!(causes(&now(admission.validate(&change)))[0].1, "spec");
    let mut labelled = instance();
    labelled["metadata"]["labels"] = json!({"kubevirt.io/created-by": "x"});
    let change = update("VirtualMachineInstance", "alice", instance(), labelled);
    assert_eq!(causes(&now(admission.validate(&change)))[0].1, "metadata.labels[kubevirt.io/created-by]");
}

fn instance() -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"domain": {"memory": {"guest": "128Mi"}, "devices": {}}},
    })
}

#[test]
fn a_new_instance_is_filled_in() {
    let request = request("VirtualMachineInstance", instance());
    let response = now(admission(Arc::new(NoLookup)).mutate(&request));
    let object = patched(request.object, &response);
    assert_eq!(object["spec"]["domain"]["machine"]["type"], "q35");
    assert_eq!(
        object["spec"]["domain"]["devices"]["interfaces"][0],
        json!({"name": "default", "bridge": {}})
    );
    assert_eq!(object["status"]["phase"], "Pending");
    assert_eq!(
        object["status"]["phaseTransitionTimestamps"][0]["phaseTransitionTimestamp"],
        "2026-01-02T03:04:05Z"
    );
    assert_eq!(object["metadata"]["finalizers"][0], "kubevirt.io/foregroundDeleteVirtualMachine");
    let again: VirtualMachineInstance = serde_json::from_value(object).unwrap();
    assert_eq!(again.metadata.name.as_deref(), Some("a"));
}

#[test]
fn what_is_wrong_is_refused_by_field() {
    let admission = admission(Arc::new(NoLookup));
    let mut object = instance();
    object["spec"]["volumes"] = json!([{"name": "v"}]);
    let response = now(admission.validate(&request("VirtualMachineInstance", object)));
    assert!(!response.allowed);
    assert!(causes(&response).contains(&("FieldValueInvalid".to_owned(), "spec.volumes[0]".to_owned())));

    let mut object = instance();
    object["spec"]["domain"]["memroy"] = json!({});
    let response = now(admission.mutate(&request("VirtualMachineInstance", object)));
    assert!(response.status.unwrap().message.contains("spec.domain.memroy"));

    let mut object = instance();
    object["spec"]["domain"]["memory"]["guest"] = json!("much");
    let response = now(admission.mutate(&request("VirtualMachineInstance", object)));
    let status = response.status.unwrap();
    assert_eq!(status.code, 400);
    assert!(status.message.contains("spec.domain.memory.guest is \"much\""), "{}", status.message);
}

#[test]
fn a_number_out_of_range_is_named() {
    let mut object = instance();
    object["spec"]["terminationGracePeriodSeconds"] = json!(-5);
    object["spec"]["domain"]["cpu"] = json!({"cores": -1});
    let admission = admission(Arc::new(NoLookup));
    let response = now(admission.mutate(&request("VirtualMachineInstance", object)));
    let message = response.status.unwrap().message;
    assert!(message.contains("spec.domain.cpu.cores is -1: write a whole number"), "{message}");
}

#[test]
fn what_is_not_honoured_is_warned_of() {
    let mut object = instance();
    object["spec"]["domain"]["devices"]["clientPassthrough"] = json!({});
    let request = request("VirtualMachineInstance", object);
    let admission = admission(Arc::new(NoLookup));
    let response = now(admission.validate(&request));
    assert!(response.allowed);
    assert_eq!(response.warnings.len(), 1);
    assert!(response.warnings[0].starts_with("ironclad: spec.domain.devices.clientPassthrough"));
}

#[test]
fn users_change_neither_specification_nor_status_of_an_instance() {
    let admission = admission(Arc::new(NoLookup));
    let mut old = instance();
    old["status"] = json!({"phase": "Running"});
    let mut new = old.clone();
    new["status"]["phase"] = json!("Failed");
    let question = update("VirtualMachineInstance", "alice", old.clone(), new.clone());
    let object = patched(new.clone(), &now(admission.mutate(&question)));
    assert_eq!(object["status"]["phase"], "Running");
    let question = update("VirtualMachineInstance", HANDLER, old.clone(), new.clone());
    assert!(now(admission.mutate(&question)).patch.is_none());

    new = old.clone();
    new["spec"]["nodeSelector"] = json!({"a": "b"});
    let question = update("VirtualMachineInstance", "alice", old.clone(), new.clone());
    assert!(!now(admission.validate(&question)).allowed);
    assert!(now(admission.validate(&update("VirtualMachineInstance", HANDLER, old, new))).allowed);
}

#[test]
fn a_machine_keeps_what_its_author_wrote() {
    let object = json!({
        "metadata": {"name": "vm"},
        "spec": {"runStrategy": "Always", "template": {"spec": {"domain": {
            "memory": {"guest": "128Mi"}, "devices": {}, "firmware": {"uuid": "11111111-2222-3333-4444-555555555555"},
        }}}},
    });
    let request = request("VirtualMachine", object);
    let admission = admission(Arc::new(NoLookup));
    let object = patched(request.object.clone(), &now(admission.mutate(&request)));
    let domain = &object["spec"]["template"]["spec"]["domain"];
    assert_eq!(domain["firmware"]["uuid"], "11111111-2222-3333-4444-555555555555");
    assert!(domain.get("cpu").is_none(), "{domain}");
    assert!(object.get("status").is_none());
    let stored = Request { object, ..request };
    assert!(now(admission.validate(&stored)).allowed);
    // A second pass changes nothing.
    let update = Request { operation: Operation::Update, old_object: stored.object.clone(), ..stored };
    assert!(now(admission.mutate(&update)).patch.is_none());
}

/// Knows one instance and one migration of it.
#[derive(Debug)]
struct OneInstance {
    phase: &'static str,
    migrating: bool,
}

#[async_trait::async_trait]
impl Lookup for OneInstance {
    async fn instance(&self, _: &str, name: &str) -> Option<VirtualMachineInstance> {
        (name == "a").then(|| serde_json::from_value(json!({"status": {"phase": self.phase}})).unwrap())
    }

    async fn is_migrating(&self, _: &str, _: &str, _: &str) -> bool {
        self.migrating
    }

    async fn has_other_installation(&self, _: &str, _: &str) -> bool {
        true
    }

    async fn has_installation(&self, namespace: &str) -> bool {
        namespace == "kubevirt"
    }

    async fn workload(&self) -> Option<&'static str> {
        (self.phase == "Running").then_some("Virtual Machine Instances")
    }
}

#[test]
fn a_migration_needs_an_instance_that_can_move() {
    let question = |name: &str| {
        request(
            "VirtualMachineInstanceMigration",
            json!({"metadata": {"name": "m"}, "spec": {"vmiName": name}}),
        )
    };
    for (phase, migrating, name, allowed) in [
        ("Running", false, "a", true),
        ("Running", false, "b", false),
        ("Running", true, "a", false),
        ("Succeeded", false, "a", false),
    ] {
        let admission = admission(Arc::new(OneInstance { phase, migrating }));
        assert_eq!(now(admission.validate(&question(name))).allowed, allowed, "{phase} {migrating} {name}");
    }
    let response = now(admission(Arc::new(NoLookup)).mutate(&question("a")));
    let object = patched(question("a").object, &response);
    assert_eq!(object["metadata"]["labels"]["kubevirt.io/vmi-name"], "a");
}

#[test]
fn a_cluster_has_one_installation_and_its_configuration_counts() {
    let object = json!({"metadata": {"name": "kubevirt"}, "spec": {}});
    let question = request("KubeVirt", object);
    assert!(now(admission(Arc::new(NoLookup)).validate(&question)).allowed);
    let second = admission(Arc::new(OneInstance { phase: "Running", migrating: false }));
    assert!(!now(second.validate(&question)).allowed);

    let admission = admission(Arc::new(NoLookup));
    let kubevirt: KubeVirt = serde_json::from_value(json!({
        "spec": {"configuration": {"network": {"defaultNetworkInterface": "masquerade"}}},
    }))
    .unwrap();
    admission.configure(&kubevirt);
    let question = request("VirtualMachineInstance", instance());
    let object = patched(instance(), &now(admission.mutate(&question)));
    assert_eq!(object["spec"]["domain"]["devices"]["interfaces"][0]["masquerade"], json!({}));
}

#[test]
fn an_installation_stays_while_there_are_machines() {
    let deleted = |kind: &str, name: &str| {
        let old_object = json!({"metadata": {"name": name}});
        let asked = request(kind, old_object.clone());
        Request { operation: Operation::Delete, object: Value::Null, old_object, ..asked }
    };
    for (kind, name, phase, allowed) in [
        ("KubeVirt", "kubevirt", "Running", false),
        ("KubeVirt", "kubevirt", "", true),
        ("Namespace", "kubevirt", "Running", false),
        ("Namespace", "kubevirt", "", true),
        ("Namespace", "other", "Running", true),
        ("VirtualMachineInstance", "a", "Running", true),
    ] {
        let admission = admission(Arc::new(OneInstance { phase, migrating: false }));
        let response = now(admission.validate(&deleted(kind, name)));
        assert_eq!(response.allowed, allowed, "{kind} {name} {phase}");
        if let Some(status) = response.status.filter(|_| !allowed) {
            assert!(status.message.contains("Delete all machines first"), "{}", status.message);
        }
    }
}
