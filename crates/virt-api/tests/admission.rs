//! Admission as an API server uses it: what is filled in, refused and warned of.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::collections::BTreeMap;
use std::sync::Arc;

use api::kubevirt::v1::{KubeVirt, VirtualMachineInstance};
use base64::Engine as _;
use effects::{SeededEntropy, VirtualClock};
use machinery::admission::{Operation, Request, Response, UserInfo};
use machinery::gvk::{Gvk, Gvr};
use model::instancetype::Matcher;
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
        (causes(&answer), answer.status.unwrap().message)
    };
    let changed = |pointer: &str, value: Value| {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut object = instance();
        object.pointer_mut(parent).unwrap()[name] = value;
        request("VirtualMachineInstance", object)
    };
    // The reference's causes have no field here, and those of a schema have no reason either: the sentence names the field.
    for (pointer, value, reason, field) in [
        ("/spec/domain/memory", json!({}), "FieldValueRequired", "spec.domain.memory.guest"),
        ("/spec/tolerations", json!([{"operator": "Nosuch"}]), "", "spec.tolerations[0].operator"),
        (
            "/spec/volumes",
            json!([{"name": "d", "downwardAPI": {"fields": [{"path": true}]}}]),
            "",
            "spec.volumes[0].downwardAPI.fields[0].path",
        ),
        ("/spec/domain/cpu", json!({"cores": "four"}), "", "spec.domain.cpu.cores"),
        ("/spec/bogus", json!(1), "", "spec.bogus"),
    ] {
        let (causes, message) = refused(&changed(pointer, value));
        assert_eq!(causes, [(reason.to_owned(), String::new())], "{message}");
        assert!(message.contains(field), "{message}");
    }
    let mut other = instance();
    other["spec"]["hostname"] = json!("h");
    let mut labelled = instance();
    labelled["metadata"]["labels"] = json!({"kubevirt.io/created-by": "x"});
    for (new, named) in
        [(other, "spec of an instance"), (labelled, "metadata.labels[kubevirt.io/created-by]")]
    {
        let answer = now(admission.validate(&update("VirtualMachineInstance", "alice", instance(), new)));
        assert_eq!(causes(&answer), [("FieldValueNotSupported".to_owned(), String::new())]);
        let message = answer.status.unwrap().message;
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn memory_that_may_grow_is_bounded_where_the_machine_decides_it() {
    let admission = admission(Arc::new(NoLookup));
    let mut object = instance();
    object["spec"]["domain"]["memory"] = json!({"guest": "256Mi", "maxGuest": "128Mi"});
    assert!(now(admission.validate(&request("VirtualMachineInstance", object.clone()))).allowed);
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": object["spec"]});
    let set = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let set = json!({"apiVersion": "kubevirt.io/v1", "metadata": {"name": "s"}, "spec": set});
    assert!(now(admission.validate(&request("VirtualMachineInstanceReplicaSet", set))).allowed);
    let machine = json!({
        "apiVersion": "kubevirt.io/v1", "metadata": {"name": "a"},
        "spec": {"runStrategy": "Halted", "template": template},
    });
    let answer = now(admission.validate(&request("VirtualMachine", machine)));
    assert_eq!(
        causes(&answer),
        [("FieldValueInvalid".to_owned(), "spec.template.spec.domain.memory.guest".to_owned())]
    );
}

#[test]
fn an_agent_is_held_to_its_node_where_the_installation_says_so() {
    let admission = admission(Arc::new(NoLookup));
    let mut old = instance();
    old["status"] = json!({"phase": "Scheduled", "nodeName": "a"});
    let mut new = old.clone();
    new["status"]["phase"] = json!("Running");
    let by = |node: Option<&str>| {
        let mut change = update("VirtualMachineInstance", HANDLER, old.clone(), new.clone());
        let extra = &mut change.user_info.extra;
        let name = "authentication.kubernetes.io/node-name";
        node.map(|node| extra.insert(name.to_owned(), vec![node.to_owned()]));
        change
    };
    assert!(now(admission.validate(&by(None))).allowed);
    let kubevirt: KubeVirt = serde_json::from_value(json!({"spec": {"configuration": {
        "developerConfiguration": {"featureGates": ["NodeRestriction"]}}}}))
    .unwrap();
    admission.configure(&kubevirt);
    for (node, allowed) in [(None, false), (Some("b"), false), (Some("a"), true)] {
        let answer = now(admission.validate(&by(node)));
        assert_eq!(answer.allowed, allowed, "{node:?}");
        if !allowed {
            assert_eq!(causes(&answer), [("FieldValueInvalid".to_owned(), String::new())]);
        }
    }
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

/// Knows instance types, preferences, a revision and a claim by name.
#[derive(Debug)]
struct Named;

#[async_trait::async_trait]
impl Lookup for Named {
    async fn instance(&self, _: &str, _: &str) -> Option<VirtualMachineInstance> {
        None
    }

    async fn named(&self, namespace: &str, matcher: &Matcher) -> Option<Value> {
        let small = json!({"spec": {"cpu": {"guest": 2}, "memory": {"guest": "128Mi"}}});
        let arm = json!({"spec": {"preferredArchitecture": "arm64", "requirements": {"cpu": {"guest": 2}}}});
        match (matcher.kind, matcher.name.as_str()) {
            ("VirtualMachineInstancetype", "small") if namespace == "ns" => Some(small),
            ("VirtualMachineClusterPreference", "arm") => Some(arm),
            _ => None,
        }
    }

    async fn revision(&self, _: &str, name: &str) -> Option<Value> {
        (name == "big").then(|| json!({"spec": {"cpu": {"guest": 1}, "memory": {"guest": "1Gi"}}}))
    }

    async fn claim_labels(&self, _: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let label = |name: &str, value: &str| (format!("instancetype.kubevirt.io/{name}"), value.to_owned());
        let all = [
            label("default-instancetype", "small"),
            label("default-instancetype-kind", "VirtualMachineInstancetype"),
        ];
        (name == "labelled").then(|| all.into()).or_else(|| (name == "plain").then(BTreeMap::new))
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

fn naming(fields: Value, domain: Value) -> Request {
    let mut spec = json!({"runStrategy": "Halted", "template": {"spec": {"domain": domain}}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    request("VirtualMachine", json!({"metadata": {"name": "m"}, "spec": spec}))
}

#[test]
fn a_machine_is_judged_with_what_it_names() {
    let small = json!({"name": "small", "kind": "VirtualMachineInstancetype"});
    let (arm, bare) = (json!({"name": "arm"}), json!({"devices": {}}));
    let told = json!({"devices": {}, "cpu": {"cores": 2}, "memory": {"guest": "1Gi"}});
    let at = "spec.template.spec.domain";
    for (fields, domain, refused) in [
        (json!({"instancetype": small}), bare.clone(), vec![]),
        (
            json!({"instancetype": small}),
            told.clone(),
            vec![format!("{at}.cpu.cores"), format!("{at}.memory.guest")],
        ),
        (json!({"instancetype": small, "preference": arm}), bare.clone(), vec![]),
        (json!({"preference": arm}), told, vec![format!("{at}.cpu.sockets")]),
        (
            json!({"instancetype": {"name": "small", "kind": "VirtualMachineInstancetype", "revisionName": "big"}, "preference": arm}),
            bare.clone(),
            vec!["spec.instancetype".to_owned()],
        ),
        (
            json!({"instancetype": {"name": "small", "kind": "Pod"}}),
            bare.clone(),
            vec!["spec.instancetype.kind".to_owned()],
        ),
    ] {
        let response = now(admission(Arc::new(Named)).validate(&naming(fields.clone(), domain)));
        let details = response.status.and_then(|status| status.details).unwrap_or_default();
        let causes: Vec<String> = details.causes.into_iter().map(|cause| cause.field).collect();
        assert_eq!(causes, refused, "{fields}");
    }
    // What does not exist may come later; the author is told.
    let absent = naming(
        json!({"instancetype": {"name": "none"}}),
        json!({"devices": {}, "memory": {"guest": "64Mi"}}),
    );
    let response = now(admission(Arc::new(Named)).validate(&absent));
    assert!(response.allowed);
    assert!(response.warnings.iter().any(|warning| warning.contains("\"none\"")), "{:?}", response.warnings);
    // The architecture that is preferred counts from the start.
    let question = naming(json!({"preference": arm}), bare);
    let response = now(admission(Arc::new(Named)).mutate(&question));
    let spec = patched(question.object, &response)["spec"]["template"]["spec"].clone();
    assert_eq!(
        (&spec["architecture"], &spec["domain"]["machine"]["type"]),
        (&json!("arm64"), &json!("virt"))
    );
}

#[test]
fn a_volume_may_imply_the_instance_type() {
    for (claim, policy, expected) in [
        ("labelled", "Reject", Ok(json!({"name": "small", "kind": "VirtualMachineInstancetype"}))),
        ("plain", "Reject", Err("spec.instancetype.inferFromVolume")),
        ("absent", "Reject", Err("spec.instancetype.inferFromVolume")),
        ("plain", "Ignore", Ok(Value::Null)),
    ] {
        let matcher = json!({"inferFromVolume": "v", "inferFromVolumeFailurePolicy": policy});
        let mut question = naming(json!({"instancetype": matcher}), json!({"devices": {}}));
        question.object["spec"]["template"]["spec"]["volumes"] =
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]);
        let response = now(admission(Arc::new(Named)).mutate(&question));
        match expected {
            Ok(named) => {
                assert_eq!(patched(question.object, &response)["spec"]["instancetype"], named, "{claim}");
            }
            Err(field) => {
                let details = response.status.and_then(|status| status.details).unwrap_or_default();
                assert_eq!(details.causes[0].field, field, "{claim}");
            }
        }
    }
}

#[test]
fn kinds_that_nothing_acts_on_yet_say_so_and_are_held_to_their_rules() {
    let source = |group: &str, kind: &str| json!({"apiGroup": group, "kind": kind, "name": "m"});
    let machine = source("kubevirt.io", "VirtualMachine");
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}});
    let pool = |more: Value| {
        let mut spec = json!({
            "selector": {"matchLabels": {"a": "b"}},
            "virtualMachineTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"runStrategy": "Halted", "template": template}},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let set = |label: &str| json!({"selector": {"matchLabels": {"a": label}}, "template": template});
    let (sets, pools) = ("VirtualMachineInstanceReplicaSet", "VirtualMachinePool");
    let (snapshots, restores) = ("VirtualMachineSnapshot", "VirtualMachineRestore");
    let restore = |more: Value| {
        let mut spec = json!({"target": machine, "virtualMachineSnapshotName": "s"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let clone = "VirtualMachineClone";
    for (group, kind, spec, refused) in [
        ("kubevirt.io", sets, set("b"), None),
        ("kubevirt.io", sets, set("c"), Some("spec.selector")),
        ("kubevirt.io", "VirtualMachineInstancePreset", json!({"selector": {}}), Some("spec.domain")),
        ("pool.kubevirt.io", pools, pool(json!({"maxUnavailable": "50%"})), None),
        ("pool.kubevirt.io", pools, pool(json!({"maxUnavailable": "101%"})), Some("spec.maxUnavailable")),
        ("pool.kubevirt.io", pools, pool(json!({"maxUnavailable": 0})), Some("spec.maxUnavailable")),
        ("pool.kubevirt.io", pools, pool(json!({"autohealing": {"minFailingToStartDuration": "2m"}})), None),
        (
            "pool.kubevirt.io",
            pools,
            pool(json!({"scaleInStrategy": {"proactive": {}, "unmanaged": {}}})),
            Some("spec.scaleInStrategy"),
        ),
        ("snapshot.kubevirt.io", snapshots, json!({"source": machine}), None),
        (
            "snapshot.kubevirt.io",
            snapshots,
            json!({"source": source("x", "VirtualMachine")}),
            Some("spec.source.apiGroup"),
        ),
        (
            "snapshot.kubevirt.io",
            snapshots,
            json!({"source": source("kubevirt.io", "Pod")}),
            Some("spec.source.kind"),
        ),
        ("snapshot.kubevirt.io", restores, restore(json!({})), None),
        (
            "snapshot.kubevirt.io",
            restores,
            restore(json!({"volumeRestorePolicy": "Magic"})),
            Some("spec.volumeRestorePolicy"),
        ),
        ("clone.kubevirt.io", clone, json!({"source": machine, "target": machine}), Some("spec.target.name")),
        (
            "clone.kubevirt.io",
            clone,
            json!({"source": machine, "labelFilters": ["a!b"]}),
            Some("spec.labels"),
        ),
        ("clone.kubevirt.io", clone, json!({"source": machine, "labelFilters": ["a*", "!b"]}), None),
        (
            "migrations.kubevirt.io",
            "MigrationPolicy",
            json!({"selectors": {}, "completionTimeoutPerGiB": -1}),
            Some("spec.completionTimeoutPerGiB"),
        ),
    ] {
        let mut question = request(kind, json!({"metadata": {"name": "x"}, "spec": spec}));
        question.resource.group = group.into();
        if kind == "MigrationPolicy" {
            question.resource.resource = "migrationpolicies".into();
        }
        let admission = admission(Arc::new(NoLookup));
        if group.starts_with("snapshot") || group.starts_with("clone") {
            let off = now(admission.validate(&question));
            assert_eq!(off.status.map(|status| status.code), Some(400), "{kind} without its gate");
        }
        let gates = json!({"developerConfiguration": {"featureGates": ["Snapshot"]}});
        let installation: KubeVirt =
            serde_json::from_value(json!({"spec": {"configuration": gates}})).unwrap();
        admission.configure(&installation);
        let response = now(admission.validate(&question));
        let details = response.status.and_then(|status| status.details).unwrap_or_default();
        let causes: Vec<String> = details.causes.into_iter().map(|cause| cause.field).collect();
        assert_eq!(causes.first().map(String::as_str), refused, "{kind} {spec}");
        // Instances of replica sets and machines of pools are made; of the other kinds nothing is.
        if [sets, pools].contains(&kind) {
            assert_eq!(response.warnings, Vec::<String>::new(), "{kind}");
        } else if refused.is_none() {
            assert!(response.warnings.iter().any(|warning| warning.starts_with("ironclad: ")), "{kind}");
        }
    }
}
