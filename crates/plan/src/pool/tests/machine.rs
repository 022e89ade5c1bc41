//! Machines as pools make them.

use api::pool::v1beta1::VirtualMachinePool;

use super::*;

fn whole(names: Value) -> VirtualMachinePool {
    let secret = |name: &str| json!({"secretRef": {"name": name}, "networkDataSecretRef": {"name": "net"}});
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "uid-web"},
        "spec": {
            "nameGeneration": names,
            "selector": {"matchLabels": {"app": "web"}},
            "virtualMachineTemplate": {
                "metadata": {"name": "ignored", "labels": {"app": "web"}, "annotations": {"team": "a"}},
                "spec": {
                    "runStrategy": "Always",
                    "dataVolumeTemplates": [{"metadata": {"name": "root"}, "spec": {}}],
                    "template": {
                        "metadata": {"labels": {"app": "web"}},
                        "spec": {"domain": {"devices": {}}, "volumes": [
                            {"name": "a", "dataVolume": {"name": "root"}},
                            {"name": "b", "persistentVolumeClaim": {"claimName": "root"}},
                            {"name": "c", "persistentVolumeClaim": {"claimName": "shared"}},
                            {"name": "d", "configMap": {"name": "settings"}},
                            {"name": "e", "secret": {"secretName": "keys"}},
                            {"name": "f", "cloudInitNoCloud": secret("user")},
                            {"name": "g", "cloudInitConfigDrive": secret("user")},
                            {"name": "h", "sysprep": {"configMap": {"name": "answers"}}},
                        ]},
                    },
                },
            },
        },
    }))
    .unwrap()
}

#[test]
fn names_get_the_machines_number() {
    let of = |names: Value| {
        let made = super::super::machine(&whole(names), "web-4", 4, "web-1");
        let text = serde_json::to_value(made.spec).unwrap();
        let at = |path: &str| {
            text.pointer(&format!("/template/spec/volumes/{path}")).unwrap().as_str().unwrap().to_owned()
        };
        [
            text["dataVolumeTemplates"][0]["metadata"]["name"].as_str().unwrap().to_owned(),
            at("0/dataVolume/name"),
            at("1/persistentVolumeClaim/claimName"),
            at("2/persistentVolumeClaim/claimName"),
            at("3/configMap/name"),
            at("4/secret/secretName"),
            at("5/cloudInitNoCloud/secretRef/name"),
            at("5/cloudInitNoCloud/networkDataSecretRef/name"),
            at("6/cloudInitConfigDrive/secretRef/name"),
            at("6/cloudInitConfigDrive/networkDataSecretRef/name"),
            at("7/sysprep/configMap/name"),
        ]
    };
    let disks = ["root-4", "root-4", "root-4", "shared"];
    for (names, others) in [
        (Value::Null, ["settings", "keys", "user", "net", "user", "net", "answers"]),
        (
            json!({"appendIndexToSecretRefs": false}),
            ["settings", "keys", "user", "net", "user", "net", "answers"],
        ),
        (
            json!({"appendIndexToConfigMapRefs": true}),
            ["settings-4", "keys", "user", "net", "user", "net", "answers"],
        ),
        (
            json!({"appendIndexToSecretRefs": true}),
            ["settings", "keys-4", "user-4", "net-4", "user-4", "net-4", "answers"],
        ),
    ] {
        let expected: Vec<&str> = disks.into_iter().chain(others).collect();
        assert_eq!(of(names.clone()).as_slice(), expected, "{names}");
    }
}

#[test]
fn a_machine_says_whose_it_is_and_what_it_was_made_from() {
    let made = serde_json::to_value(super::super::machine(&whole(json!({})), "web-4", 4, "web-1")).unwrap();
    let revision = "kubevirt.io/vm-pool-revision-name";
    assert_eq!(
        made["metadata"],
        json!({
            "name": "web-4",
            "namespace": "shop",
            "labels": {"app": "web", revision: "web-1"},
            "annotations": {"team": "a"},
            "finalizers": ["pool.kubevirt.io/finalizer"],
            "ownerReferences": [{
                "apiVersion": "pool.kubevirt.io/v1beta1", "kind": "VirtualMachinePool", "name": "web", "uid": "uid-web",
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    );
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], json!({"app": "web", revision: "web-1"}));
}

#[test]
fn an_update_keeps_what_others_wrote_and_who_the_guest_is() {
    let mut pool = whole(json!({}));
    let before =
        super::super::template(&json!({"virtualMachineTemplate": pool.spec.virtual_machine_template}));
    let mut machine = super::super::machine(&pool, "web-4", 4, "web-1");
    let given = |texts: &[(&str, &str)]| {
        Some(texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    };
    machine.metadata.labels.as_mut().unwrap().insert("mine".into(), "x".into());
    machine.metadata.annotations.as_mut().unwrap().insert("places".into(), "y".into());
    machine.spec.run_strategy = Some("Halted".into());
    let spec = machine.spec.template.spec.as_mut().unwrap();
    let firmware = json!({"uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223", "serial": "s"});
    spec.domain.firmware = Some(serde_json::from_value(firmware.clone()).unwrap());
    let meta = &mut pool.spec.virtual_machine_template.metadata;
    (meta.labels, meta.annotations) = (given(&[("app", "shop")]), None);
    let updated =
        |before| serde_json::to_value(super::super::updated(&pool, &machine, before, 4, "web-2")).unwrap();
    let now = updated(Some(&before));
    let labels = json!({"app": "shop", "mine": "x", "kubevirt.io/vm-pool-revision-name": "web-2"});
    assert_eq!(now["metadata"]["labels"], labels);
    assert_eq!(now["metadata"]["annotations"], json!({"places": "y"}));
    assert_eq!(now["spec"]["runStrategy"], "Always", "it is what the template says");
    assert_eq!(now["spec"]["template"]["spec"]["domain"]["firmware"], firmware);
    assert_eq!(
        updated(None)["metadata"]["annotations"],
        json!({"places": "y", "team": "a"}),
        "nothing is known of before"
    );
}
