//! Objects of built-in kinds that Kubernetes refuses, with the fields that it names, as kube-apiserver 1.36 was seen to.

mod common;

use common::Api;
use serde_json::{Value, json};

const HPAS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn object(version: &str, kind: &str, rest: &Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}});
    for (name, value) in rest.as_object().expect("fields") {
        object[name] = value.clone();
    }
    object
}

/// Reasons and fields of the causes of a refusal, in order of fields.
fn causes(refused: &Value) -> Vec<String> {
    let causes = refused["details"]["causes"].as_array().into_iter().flatten();
    let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    let mut causes: Vec<String> = causes
        .map(|cause| {
            format!("{} {}", text(cause, "field"), text(cause, "reason").trim_start_matches("FieldValue"))
        })
        .collect();
    causes.sort();
    causes.dedup();
    causes
}

fn pod_template(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let api = Api::start().await;
    let selector = json!({"matchLabels": {"a": "b"}});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    for (path, object, expected) in [
        (
            HPAS,
            object("autoscaling/v2", "HorizontalPodAutoscaler", &json!({})),
            &[
                "spec.maxReplicas Invalid",
                "spec.maxReplicas Required",
                "spec.scaleTargetRef.apiVersion Invalid",
                "spec.scaleTargetRef.kind Required",
                "spec.scaleTargetRef.name Required",
            ][..],
        ),
        (
            HPAS,
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                &json!({"spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 2,
                    "metrics": [{"type": "Resource", "pods": {"metric": {"name": "m"}, "target": {"type": "Value"}}}]}}),
            ),
            &[
                "spec.maxReplicas Invalid",
                "spec.metrics[0].pods Forbidden",
                "spec.metrics[0].pods.target.averageValue Required",
                "spec.metrics[0].resource Required",
            ],
        ),
        (
            "/apis/apps/v1/namespaces/default/controllerrevisions",
            object("apps/v1", "ControllerRevision", &json!({"revision": -1})),
            &["data Required", "revision Invalid"],
        ),
        (
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            object(
                "policy/v1",
                "PodDisruptionBudget",
                &json!({"spec": {"minAvailable": "101%", "maxUnavailable": -1,
                    "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}),
            ),
            &[
                "spec Invalid",
                "spec.maxUnavailable Invalid",
                "spec.minAvailable Invalid",
                "spec.selector.matchExpressions[0].values Required",
            ],
        ),
        (
            SLICES,
            object(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                &json!({"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": []}],
                    "ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}),
            ),
            &[
                "endpoints[0].addresses[0] Invalid",
                "endpoints[1].addresses Required",
                "ports[1].name Duplicate",
            ],
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
            object(
                "networking.k8s.io/v1",
                "NetworkPolicy",
                &json!({"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 70}],
                    "from": [{}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]}}),
            ),
            &[
                "spec.ingress[0].from[0] Required",
                "spec.ingress[0].from[1].ipBlock.except[0] Invalid",
                "spec.ingress[0].ports[0].endPort Invalid",
            ],
        ),
        (
            "/apis/batch/v1/namespaces/default/jobs",
            object(
                "batch/v1",
                "Job",
                &json!({"spec": {"backoffLimit": -1, "template": pod_template(&json!({"a": "Bad Value!"}))}}),
            ),
            &[
                "metadata.labels Invalid",
                "spec.backoffLimit Invalid",
                "spec.template.labels Invalid",
                "spec.template.spec.restartPolicy Required",
            ],
        ),
        (
            "/apis/apps/v1/namespaces/default/statefulsets",
            object(
                "apps/v1",
                "StatefulSet",
                &json!({"spec": {"selector": selector, "podManagementPolicy": "Sometimes",
                    "template": pod_template(&json!({"a": "b"}))}}),
            ),
            &["spec.podManagementPolicy Invalid"],
        ),
        (
            CLASSES,
            object("storage.k8s.io/v1", "StorageClass", &json!({"reclaimPolicy": "Sometimes"})),
            &["provisioner Required", "reclaimPolicy NotSupported"],
        ),
        (
            PODS,
            object(
                "v1",
                "Pod",
                &json!({"spec": {"containers": [{"name": "c", "image": "i",
                    "env": [{"name": "A", "valueFrom": {}}], "livenessProbe": {"successThreshold": 2},
                    "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]}],
                    "volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 999}}]}}),
            ),
            &[
                "spec.containers[0].env[0].valueFrom Invalid",
                "spec.containers[0].livenessProbe Required",
                "spec.containers[0].livenessProbe.successThreshold Invalid",
                "spec.containers[0].volumeMounts[0].subPath Invalid",
                "spec.volumes[0].configMap.defaultMode Invalid",
            ],
        ),
    ] {
        let refused = api.post(path, object).await.expect(422);
        assert_eq!(causes(&refused), expected, "{path}: {refused}");
    }
}

#[tokio::test]
async fn an_update_leaves_what_is_fixed() {
    let api = Api::start().await;
    let class = |more: Value| {
        let mut class = object(
            "storage.k8s.io/v1",
            "StorageClass",
            &json!({"provisioner": "a.test/b", "parameters": {"a": "b"}}),
        );
        for (name, value) in more.as_object().expect("fields") {
            class[name] = value.clone();
        }
        class
    };
    api.post(CLASSES, class(json!({}))).await.expect(201);
    let path = format!("{CLASSES}/a");
    api.put(&path, class(json!({"allowVolumeExpansion": true}))).await.expect(200);
    for (change, field) in [
        (json!({"provisioner": "a.test/c"}), "provisioner Forbidden"),
        (json!({"parameters": {}}), "parameters Forbidden"),
        (json!({"volumeBindingMode": "WaitForFirstConsumer"}), "volumeBindingMode Invalid"),
    ] {
        let refused = api.put(&path, class(change)).await.expect(422);
        assert_eq!(causes(&refused), [field], "{refused}");
    }
}

#[tokio::test]
async fn a_claim_grows_where_its_class_allows_it() {
    let api = Api::start().await;
    let class = |name: &str, more: Value| {
        let mut class = object("storage.k8s.io/v1", "StorageClass", &json!({"provisioner": "a.test/b"}));
        class["metadata"]["name"] = name.into();
        if !more.is_null() {
            class["allowVolumeExpansion"] = more;
        }
        class
    };
    for (name, allowed) in [("elastic", json!(true)), ("stiff", json!(false)), ("plain", Value::Null)] {
        api.post(CLASSES, class(name, allowed)).await.expect(201);
    }
    // The claim's own plug-in is asked before policies are, which have a say in what it lets in.
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["persistentvolumeclaims"],
        }]},
        "validations": [{"expression": "object.spec.resources.requests.storage != '3Gi'", "message": "not three"}],
    }});
    let policy = object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", &policy);
    let name = policy["metadata"]["name"].clone();
    api.post(policies, policy).await.expect(201);
    let binding = json!({"spec": {"policyName": name, "validationActions": ["Deny"]}});
    let binding = object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", &binding);
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    api.post(bindings, binding).await.expect(201);
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    for (class, answer) in [("elastic", 200), ("stiff", 403), ("plain", 403), ("gone", 403), ("", 403)] {
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}},
        });
        let mut claim = object("v1", "PersistentVolumeClaim", &json!({"spec": spec}));
        let name = format!("claim-{class}x");
        claim["metadata"]["name"] = name.as_str().into();
        api.post(claims, claim).await.expect(201);
        let path = format!("{claims}/{name}");
        let mut bound = api.get(&path).await.expect(200);
        bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        let mut grown = api.put(&format!("{path}/status"), bound).await.expect(200);
        grown["spec"]["resources"]["requests"]["storage"] = "2Gi".into();
        let answered = api.put(&path, grown.clone()).await.expect(answer);
        if answer == 403 {
            assert_eq!(
                answered["message"],
                format!(
                    "persistentvolumeclaims {name:?} is forbidden: only dynamically provisioned pvc can be resized and the \
                     storageclass that provisions the pvc must support resize"
                )
            );
        }
        // The policy refuses it, too: where growth is let in, it is heard, and else nobody asks it.
        grown["metadata"]["resourceVersion"] = Value::Null;
        grown["spec"]["resources"]["requests"]["storage"] = "3Gi".into();
        let judged = api.put(&path, grown.clone()).await.expect(if answer == 403 { 403 } else { 422 });
        assert_eq!(judged["message"] == answered["message"], answer == 403, "{judged}");
        // What is asked for stays, or is written otherwise.
        grown["spec"]["resources"]["requests"]["storage"] = "1024Mi".into();
        if answer == 403 {
            api.put(&path, grown).await.expect(200);
        }
    }
}

/// Typed clients leave out what is empty, so an empty text is the same as none.
#[tokio::test]
async fn an_empty_text_is_the_default() {
    let api = Api::start().await;
    let pod = object(
        "v1",
        "Pod",
        &json!({"spec": {"dnsPolicy": "", "containers": [{"name": "c", "image": "i:1", "imagePullPolicy": ""}]}}),
    );
    let made = api.post(PODS, pod.clone()).await.expect(201);
    assert_eq!(made["spec"]["dnsPolicy"], "ClusterFirst");
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    // The manifest that a Pod was made from changes nothing, though admission has added to the Pod.
    let mut again = pod;
    again["spec"]["serviceAccountName"] = made["spec"]["serviceAccountName"].clone();
    for field in ["volumes", "priority", "preemptionPolicy"] {
        again["spec"][field] = made["spec"][field].clone();
    }
    again["spec"]["containers"][0]["volumeMounts"] = made["spec"]["containers"][0]["volumeMounts"].clone();
    api.put(&format!("{PODS}/a"), again).await.expect(200);
    let map = object("v1", "ConfigMap", &json!({"data": {"empty": ""}}));
    let made = api.post("/api/v1/namespaces/default/configmaps", map).await.expect(201);
    assert_eq!(made["data"], json!({"empty": ""}));
}

#[tokio::test]
async fn names_of_ports_and_classes_without_scope_are_as_in_kubernetes() {
    let api = Api::start().await;
    let named = |name: &str| json!({"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": [{"name": name, "port": 80, "protocol": "TCP"}]});
    let slice = object("discovery.k8s.io/v1", "EndpointSlice", &named("tcp-prometheus-servicemonitor"));
    api.post(SLICES, slice).await.expect(201);
    let slice = object("discovery.k8s.io/v1", "EndpointSlice", &named("Not_A_Name"));
    api.post(SLICES, slice).await.expect(422);
    let parameters = json!({"apiGroup": "elbv2.k8s.aws", "kind": "IngressClassParams", "name": "p"});
    let class = json!({"spec": {"controller": "ingress.k8s.aws/alb", "parameters": parameters}});
    let class = object("networking.k8s.io/v1", "IngressClass", &class);
    let made = api.post("/apis/networking.k8s.io/v1/ingressclasses", class).await.expect(201);
    assert_eq!(made["spec"]["parameters"]["scope"], "Cluster");
}

#[tokio::test]
async fn a_stateful_set_mounts_the_claims_that_it_makes() {
    const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
    let api = Api::start().await;
    let labels = json!({"app": "db"});
    let set = |mounted: &str| {
        let mounts =
            json!([{"name": mounted, "mountPath": "/data"}, {"name": "scripts", "mountPath": "/scripts"}]);
        let container = json!({"name": "c", "image": "i", "volumeMounts": mounts});
        let volumes = json!([{"name": "scripts", "emptyDir": {}}]);
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}});
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        let spec = json!({"serviceName": "db", "selector": {"matchLabels": labels}, "template": template,
            "volumeClaimTemplates": [claim]});
        object("apps/v1", "StatefulSet", &json!({"spec": spec}))
    };
    let made = api.post(SETS, set("data")).await.expect(201);
    assert_eq!(
        made["spec"]["template"]["spec"]["volumes"].as_array().map(Vec::len),
        Some(1),
        "as it was written"
    );
    let refused = api.post(SETS, set("other")).await.expect(422);
    assert_eq!(causes(&refused), ["spec.template.spec.containers[0].volumeMounts[0].name NotFound"]);
}

#[tokio::test]
async fn a_job_selects_its_own_pods() {
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    let api = Api::start().await;
    let job = |spec: &Value, labels: &Value| {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
        let mut job = object("batch/v1", "Job", &json!({"spec": {"suspend": true}}));
        job["spec"]["template"] = json!({"metadata": {"labels": labels}, "spec": pod});
        for (name, value) in spec.as_object().expect("fields") {
            job["spec"][name] = value.clone();
        }
        job
    };
    let made = api.post(JOBS, job(&json!({}), &json!({"own": "1"}))).await.expect(201);
    let uid = &made["metadata"]["uid"];
    assert_eq!(made["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let labels = json!({"own": "1", "job-name": "a", "batch.kubernetes.io/job-name": "a",
        "controller-uid": uid, "batch.kubernetes.io/controller-uid": uid});
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(made["metadata"]["labels"], json!({"own": "1"}));

    let path = format!("{JOBS}/a");
    let directed = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}});
    api.merge(&path, directed).await.expect(200);
    let other = json!({"spec": {"template": {"spec": {"hostNetwork": true}}}});
    assert_eq!(causes(&api.merge(&path, other).await.expect(422)), ["spec.template Invalid"]);

    let named = "spec.template.metadata.labels";
    for (spec, labels, expected) in [
        (json!({}), json!({"job-name": "b"}), vec![format!("{named}[job-name] Invalid")]),
        (
            json!({"selector": {"matchLabels": {"a": "b"}}}),
            json!({"a": "b"}),
            vec!["spec.selector Invalid".to_owned()],
        ),
        (
            json!({"manualSelector": true}),
            json!({"a": "b"}),
            vec!["spec.selector Required".to_owned(), format!("{named} Invalid")],
        ),
        (
            json!({"manualSelector": true, "selector": {"matchLabels": {"a": "c"}}}),
            json!({"a": "b"}),
            vec![format!("{named} Invalid")],
        ),
    ] {
        let refused = api.post(JOBS, job(&spec, &labels)).await.expect(422);
        assert_eq!(causes(&refused), expected, "{refused}");
    }
    let mut manual =
        job(&json!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}}), &json!({"a": "b"}));
    manual["metadata"]["name"] = "b".into();
    api.post(JOBS, manual).await.expect(201);
}

#[tokio::test]
async fn what_is_written_in_another_order_or_added_is_no_change_of_what_is_fixed() {
    let api = Api::start().await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let scoped = |scopes: &[&str]| {
        object("v1", "ResourceQuota", &json!({"spec": {"hard": {"pods": "1"}, "scopes": scopes}}))
    };
    api.post(quotas, scoped(&["NotTerminating", "NotBestEffort"])).await.expect(201);
    let quota = format!("{quotas}/a");
    api.put(&quota, scoped(&["NotBestEffort", "NotTerminating"])).await.expect(200);
    let refused = api.put(&quota, scoped(&["NotBestEffort"])).await.expect(422);
    assert_eq!(causes(&refused), ["spec.scopes Invalid"]);

    let cidrs = "/apis/networking.k8s.io/v1/servicecidrs";
    let of = |networks: &[&str]| {
        object("networking.k8s.io/v1", "ServiceCIDR", &json!({"spec": {"cidrs": networks}}))
    };
    let refused = api.post(cidrs, of(&["10.0.0.0/24", "10.1.0.0/24"])).await.expect(422);
    assert_eq!(causes(&refused), ["spec.cidrs Invalid"]);
    api.post(cidrs, of(&["10.0.0.0/24"])).await.expect(201);
    let cidr = format!("{cidrs}/a");
    let refused = api.put(&cidr, of(&["10.1.0.0/24"])).await.expect(422);
    assert_eq!(causes(&refused), ["spec.cidrs[0] Invalid"]);
    api.put(&cidr, of(&["10.0.0.0/24", "2001:db8::/64"])).await.expect(200);
    let refused = api.put(&cidr, of(&["10.0.0.0/24"])).await.expect(422);
    assert_eq!(causes(&refused), ["spec.cidrs Invalid"]);
}

#[tokio::test]
async fn a_source_that_claims_never_had_is_dropped() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/persistentvolumeclaims";
    for (name, source, kept) in [
        ("secret", json!({"kind": "Secret", "name": "s"}), false),
        ("empty", json!({"kind": "", "name": ""}), false),
        ("claim", json!({"kind": "PersistentVolumeClaim", "name": "c"}), true),
        (
            "snapshot",
            json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}),
            true,
        ),
    ] {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSource": source});
        let mut claim = object("v1", "PersistentVolumeClaim", &json!({"spec": spec}));
        claim["metadata"]["name"] = json!(name);
        let made = api.post(path, claim).await.expect(201);
        assert_eq!(made["spec"]["dataSource"].is_object(), kept, "{name}: {made}");
        assert_eq!(made["spec"]["dataSource"], made["spec"]["dataSourceRef"], "{name}: {made}");
        // A client that knows the older field only sends back what it knows.
        let mut again = made;
        again["spec"].as_object_mut().expect("a spec").remove("dataSourceRef");
        again["metadata"]["labels"] = json!({"a": "b"});
        let changed = api.put(&format!("{path}/{name}"), again).await.expect(200);
        assert_eq!(changed["spec"]["dataSource"], changed["spec"]["dataSourceRef"], "{name}: {changed}");
    }
    let source = json!({"apiGroup": "a.example", "kind": "Fill", "name": "f"});
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSourceRef": source});
    let mut claim = |name: &str, source: Option<Value>| {
        if let Some(source) = source {
            spec["dataSource"] = source;
        }
        let mut claim = object("v1", "PersistentVolumeClaim", &json!({"spec": spec}));
        claim["metadata"]["name"] = json!(name);
        claim
    };
    let filled = api.post(path, claim("filled", None)).await.expect(201);
    assert_eq!(filled["spec"]["dataSource"], source);
    let mut other = source;
    other["name"] = "g".into();
    let refused = api.post(path, claim("torn", Some(other))).await.expect(422);
    assert!(refused["message"].as_str().expect("words").contains("must match dataSourceRef"), "{refused}");
}

#[tokio::test]
async fn what_must_be_named_is_not_empty() {
    let api = Api::start().await;
    let pod = |rest: Value| {
        let mut pod = object("v1", "Pod", &json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}));
        for (name, value) in rest.as_object().expect("fields") {
            pod["spec"][name] = value.clone();
        }
        pod
    };
    let claim = |source: Value| {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSourceRef": source});
        object("v1", "PersistentVolumeClaim", &json!({"spec": spec}))
    };
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]},
        "variables": [{"name": "", "expression": "1"}, {"name": "1a", "expression": "1"}],
        "validations": [{"expression": "true"}],
    }});
    for (path, object, expected) in [
        (
            claims,
            claim(json!({"kind": "", "name": ""})),
            &[
                "spec.dataSource.kind Required",
                "spec.dataSource.name Required",
                "spec.dataSourceRef.kind Required",
                "spec.dataSourceRef.name Required",
            ][..],
        ),
        (
            claims,
            claim(json!({"kind": "Secret", "name": "s"})),
            &["spec.dataSource Invalid", "spec.dataSourceRef Invalid"],
        ),
        (PODS, pod(json!({"os": {"name": ""}})), &["spec.os.name Required"]),
        (
            PODS,
            pod(json!({"ephemeralContainers": [{"name": "e", "image": "i"}]})),
            &["spec.ephemeralContainers Forbidden"],
        ),
        (
            PODS,
            pod(
                json!({"volumes": [{"name": "v", "rbd": {"image": "", "monitors": []}}, {"name": "w", "ephemeral": {}}]}),
            ),
            &[
                "spec.volumes[0].rbd.image Required",
                "spec.volumes[0].rbd.monitors Required",
                "spec.volumes[1].ephemeral.volumeClaimTemplate Required",
            ],
        ),
        (
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
            object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", &policy),
            &["spec.variables[0].name Required", "spec.variables[1].name Invalid"],
        ),
    ] {
        let refused = api.post(path, object).await.expect(422);
        assert_eq!(causes(&refused), expected, "{path}: {refused}");
    }
}
