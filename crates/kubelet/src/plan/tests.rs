//! Which Pods run, and what they become.

use super::*;
use serde_json::json;

fn builtin() -> Vec<BuiltinImage> {
    vec![BuiltinImage::launcher("ironclad.local/virt-launcher", "/opt/launcher")]
}

fn pod(change: impl FnOnce(&mut serde_json::Value)) -> Pod {
    let mut pod = json!({
        "metadata": { "name": "virt-launcher-web-abcde", "namespace": "default", "uid": "u" },
        "spec": {
            "hostname": "web",
            "securityContext": { "runAsUser": 107, "runAsGroup": 107, "fsGroup": 107 },
            "initContainers": [{
                "name": "guest-console-log",
                "image": "ironclad.local/virt-launcher:1",
                "restartPolicy": "Always",
                "command": ["/usr/bin/ironclad-launcher", "virt-tail", "--logfile",
                    "/var/run/kubevirt-private/serial0.log"],
            }],
            "containers": [{
                "name": "compute",
                "image": "ironclad.local/virt-launcher:1",
                "command": ["/usr/bin/ironclad-launcher", "shim"],
                "env": [
                    { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                    { "name": "KEY", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } },
                ],
                "resources": {
                    "limits": { "memory": "256Mi", "devices.kubevirt.io/tun": "1" },
                    "requests": { "cpu": "100m" },
                },
                "volumeMounts": [
                    { "name": "disk", "mountPath": "/var/run/kubevirt/container-disks/disk", "readOnly": true },
                    { "name": "private", "mountPath": "/var/run/kubevirt-private" },
                ],
            }],
            "volumes": [
                { "name": "private", "emptyDir": {} },
                { "name": "disk", "image": { "reference": "registry.example/disk:1" } },
            ],
        },
    });
    change(&mut pod);
    serde_json::from_value(pod).expect("a Pod")
}

fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.config_maps.insert("c".into(), BTreeMap::from([("k".into(), b"v".to_vec())]));
    sources
}

#[test]
fn a_launcher_pod_is_planned() {
    let plan = PodPlan::of(&pod(|_| {}), &sources(), &builtin()).expect("a plan");
    assert_eq!((plan.container.as_str(), plan.user, plan.hostname.as_str()), ("compute", 107, "web"));
    assert_eq!(plan.arguments, ["/usr/bin/ironclad-launcher", "shim"]);
    assert_eq!(
        plan.environment,
        [("POD_NAME".into(), "virt-launcher-web-abcde".into()), ("KEY".into(), "v".into())]
    );
    assert_eq!(plan.devices, [PathBuf::from("/dev/net/tun")]);
    assert_eq!((plan.limits.memory_bytes, plan.limits.cpu_request_millis), (Some(256 << 20), Some(100)));
    assert_eq!(plan.mounts[0].path, Path::new("/var/run/kubevirt-private"));
    assert_eq!(plan.followers[0].0, "guest-console-log");
}

#[test]
fn what_cannot_run_here_is_refused_by_field() {
    type Change = fn(&mut serde_json::Value);
    let table: [(&str, Change); 14] = [
        ("nginx", |pod| pod["spec"]["containers"][0]["image"] = json!("nginx")),
        ("spec.hostNetwork", |pod| pod["spec"]["hostNetwork"] = json!(true)),
        ("privileged", |pod| pod["spec"]["containers"][0]["securityContext"] = json!({"privileged": true})),
        ("runAsUser 0", |pod| pod["spec"]["securityContext"]["runAsUser"] = json!(0)),
        // Cut to 32 bits these are "no change" and root.
        ("runAsUser 4294967295", |pod| {
            pod["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(4_294_967_295_i64);
        }),
        ("runAsUser 4294967296", |pod| {
            pod["spec"]["securityContext"]["runAsUser"] = json!(4_294_967_296_i64);
        }),
        ("runAsUser -1", |pod| pod["spec"]["securityContext"]["runAsUser"] = json!(-1)),
        ("runAsGroup -1", |pod| pod["spec"]["securityContext"]["runAsGroup"] = json!(-1)),
        ("fsGroup 4294967295", |pod| pod["spec"]["securityContext"]["fsGroup"] = json!(4_294_967_295_i64)),
        ("supplementalGroups -1", |pod| pod["spec"]["securityContext"]["supplementalGroups"] = json!([-1])),
        ("emptyDir.medium", |pod| pod["spec"]["volumes"][0]["emptyDir"]["medium"] = json!("Memory")),
        ("hostPath", |pod| {
            pod["spec"]["volumes"][0] = json!({"name": "hostPath", "hostPath": {"path": "/"}});
        }),
        ("guest-console-log has a probe", |pod| {
            pod["spec"]["initContainers"][0]["livenessProbe"] = json!({"tcpSocket": {"port": 1}});
        }),
        ("..", |pod| pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/a/../b")),
    ];
    for (expected, change) in table {
        let error = PodPlan::of(&pod(change), &sources(), &builtin()).expect_err(expected);
        assert!(matches!(error, PlanError::Unsupported(_)), "{expected}: {error:?}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn what_is_missing_may_come() {
    let error = PodPlan::of(&pod(|_| {}), &Sources::default(), &builtin()).expect_err("no ConfigMap");
    assert!(matches!(&error, PlanError::Missing(message) if message.contains("ConfigMap c")), "{error:?}");
}

#[test]
fn a_claim_is_a_directory_that_the_pod_cannot_write_to() {
    let with_claim = |pod: &mut serde_json::Value| {
        let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "c" } });
        pod["spec"]["volumes"].as_array_mut().expect("volumes").push(volume);
    };
    let plan = |claims: Option<Result<Claimed, String>>| {
        let claims = claims.into_iter().map(|claim| ("c".to_owned(), claim)).collect();
        PodPlan::of(&pod(with_claim), &Sources { claims, ..sources() }, &builtin())
    };
    let missing = |result: Result<PodPlan, PlanError>| result.unwrap_err().to_string();
    assert!(missing(plan(None)).contains("PersistentVolumeClaim c does not exist"));
    assert_eq!(missing(plan(Some(Err("c is not bound".into())))), "c is not bound");
    let planned = plan(Some(Ok(Claimed { path: "/volumes/v".into(), make: true }))).expect("a plan");
    let source = &planned.volumes.last().expect("the claim's").source;
    assert_eq!(*source, VolumeSource::Claim { path: "/volumes/v".into(), make: true });
    assert!(!source.is_writable());
}
