//! The Pod with the tools.

use serde_json::{Value, json};

/// Its container.
pub(super) const CONTAINER: &str = "libguestfs";

/// What the Pod is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) claim: String,
    pub(super) image: String,
    pub(super) policy: String,
    pub(super) kvm: bool,
    pub(super) root: bool,
    pub(super) user: Option<i64>,
    pub(super) group: Option<i64>,
    pub(super) fs_group: Option<i64>,
    pub(super) block: bool,
    /// The machine that it is placed like; `null` for none.
    pub(super) machine: Value,
}

impl Plan {
    /// The Pod's name.
    pub(super) fn name(&self) -> String {
        format!("libguestfs-tools-{}", self.claim)
    }

    /// Where the claim is in it.
    pub(super) fn place(&self) -> &'static str {
        if self.block { "/dev/vda" } else { "/disk" }
    }

    /// Returns the Pod.
    pub(super) fn pod(&self) -> Value {
        let environment = [
            ("LIBGUESTFS_BACKEND", "direct"),
            ("LIBGUESTFS_PATH", "/usr/local/lib/guestfs/appliance"),
            ("LIBGUESTFS_TMPDIR", "/tmp/guestfs"),
            ("HOME", "/home/guestfs"),
        ];
        let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
        let mut mounts = vec![mount("libguestfs-tmp-dir", "/tmp/guestfs"), mount("guestfs", "/home/guestfs")];
        let mut container = json!({
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": self.policy,
            "command": ["/entrypoint.sh"],
            "env": environment.map(|(name, value)| json!({"name": name, "value": value})),
            "stdin": true,
            "tty": true,
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        });
        if self.block {
            container["volumeDevices"] = json!([{"name": "volume", "devicePath": self.place()}]);
        } else {
            mounts.push(mount("volume", self.place()));
            container["workingDir"] = self.place().into();
        }
        container["volumeMounts"] = mounts.into();
        if self.kvm {
            container["resources"] = json!({"limits": {"devices.kubevirt.io/kvm": "1"}});
        }
        let mut security = json!({"runAsNonRoot": !self.root, "seccompProfile": {"type": "RuntimeDefault"}});
        for (field, number) in
            [("runAsUser", self.user), ("runAsGroup", self.group), ("fsGroup", self.fs_group)]
        {
            if let Some(number) = number {
                security[field] = number.into();
            }
        }
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name()},
            "spec": {
                "containers": [container],
                "restartPolicy": "Never",
                "securityContext": security,
                "volumes": [
                    {"name": "volume", "persistentVolumeClaim": {"claimName": self.claim}},
                    {"name": "libguestfs-tmp-dir", "emptyDir": {}},
                    {"name": "guestfs", "emptyDir": {}},
                ],
            },
        });
        let template = &self.machine["spec"]["template"];
        for field in ["tolerations", "affinity", "nodeSelector"] {
            if !template["spec"][field].is_null() {
                pod["spec"][field] = template["spec"][field].clone();
            }
        }
        if template["metadata"]["labels"].is_object() {
            pod["metadata"]["labels"] = template["metadata"]["labels"].clone();
        }
        pod
    }
}

/// Whether one of these Pods uses a claim.
pub(super) fn is_used(pods: &Value, claim: &str) -> bool {
    let mut pods = pods["items"].as_array().into_iter().flatten();
    pods.any(|pod| {
        let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
        volumes.any(|volume| volume["persistentVolumeClaim"]["claimName"] == *claim)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { claim: "c".to_owned(), image: "i".to_owned(), policy: "Never".to_owned(), ..Plan::default() }
    }

    #[test]
    fn the_claim_is_a_folder_or_a_device() {
        let pod = plan().pod();
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["volumeMounts"][2], json!({"name": "volume", "mountPath": "/disk"}));
        assert_eq!((&container["workingDir"], &container["volumeDevices"]), (&json!("/disk"), &Value::Null));
        assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
        assert_eq!(container["resources"], Value::Null);
        let block = Plan { block: true, kvm: true, root: true, user: Some(0), ..plan() }.pod();
        let container = &block["spec"]["containers"][0];
        assert_eq!(container["volumeDevices"], json!([{"name": "volume", "devicePath": "/dev/vda"}]));
        assert_eq!(container["resources"]["limits"]["devices.kubevirt.io/kvm"], "1");
        assert_eq!(block["spec"]["securityContext"]["runAsUser"], 0);
    }

    #[test]
    fn it_is_placed_like_a_machine() {
        let machine = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"nodeSelector": {"disk": "nvme"}, "tolerations": [{"operator": "Exists"}]}}}});
        let pod = Plan { machine, ..plan() }.pod();
        assert_eq!(
            (&pod["metadata"]["labels"], &pod["spec"]["nodeSelector"]),
            (&json!({"a": "b"}), &json!({"disk": "nvme"}))
        );
        assert!(pod["spec"]["affinity"].is_null());
        let using = json!({"items": [{"spec": {}}, {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}}]});
        assert!(is_used(&using, "c") && !is_used(&using, "d"));
    }
}
