//! Machines whose image cannot be had.

use serde_json::json;

use super::{hold, instance, pod, unsynchronized, warning, with_volumes};

#[test]
fn machines_without_their_image() {
    let volumes = json!([{"name": "d", "containerDisk": {"image": "registry.example/guest:9"}}]);
    let with = |reason: &str, message: &str| {
        with_volumes(unsynchronized("Scheduling", reason, message), volumes.clone())
    };
    let failed = "failed to pull image \"registry.example/guest:9\": ";
    hold(vec![
        (
            "it does not exist",
            json!({"vmi": with("ErrImagePull", &format!("{failed}manifest unknown"))}),
            "work does not run: the image registry.example/guest:9 does not exist.",
            "manifest unknown",
            "containerDisk.image",
        ),
        (
            "the wait says less than the Event",
            json!({"vmi": with("ImagePullBackOff", "Back-off pulling image"), "events": [warning("Pod", "p", "Failed",
                &format!("{failed}dial tcp: lookup registry.example: no such host"))]}),
            "work does not run: the registry of the image registry.example/guest:9 cannot be reached.",
            "no such host",
            "reachable",
        ),
        (
            "it is not given to everybody",
            json!({"vmi": with("ErrImagePull", &format!("{failed}401 Unauthorized"))}),
            "work does not run: the registry does not give the image registry.example/guest:9 to it.",
            "401",
            "imagePullSecret",
        ),
        (
            "the pull secret is missing",
            json!({"vmi": with("ErrImagePull", &format!("{failed}401 Unauthorized; Secret \"mine\" not found"))}),
            "work does not run: the pull secret for the image registry.example/guest:9 does not exist.",
            "mine",
            "kubectl create secret docker-registry",
        ),
        (
            "there is no room for it",
            json!({"vmi": with("ErrImagePull", &format!("{failed}no space is left: /var has 1 MiB"))}),
            "work does not run: the node has no room for the image registry.example/guest:9.",
            "/var",
            "Free some space",
        ),
        (
            "its registry is silent, in this server's words",
            json!({"vmi": with("ErrImagePull", "cannot pull image registry.example/guest:9: its registry registry.example cannot be reached: Connection refused (os error 111); correct the name, or the way there")}),
            "work does not run: the registry of the image registry.example/guest:9 cannot be reached.",
            "os error 111",
            "reachable",
        ),
        (
            "its registry wants to know who asks",
            json!({"vmi": with("ErrImagePull", "cannot pull image registry.example/guest:9: its registry registry.example asks for a login; name a Secret with one by imagePullSecret")}),
            "work does not run: the registry does not give the image registry.example/guest:9 to it.",
            "asks for a login",
            "imagePullSecret",
        ),
        (
            "it is for other processors",
            json!({"vmi": with("ErrImagePull", "image registry.example/guest:9 has no variant for linux/amd64; it offers linux/arm64")}),
            "work does not run: the image registry.example/guest:9 is made for other processors than its node's.",
            "linux/arm64",
            "kubernetes.io/arch",
        ),
        (
            "the kernel's was never loaded",
            json!({"vmi": {"metadata": {"name": "work"}, "spec": {"domain": {"firmware": {"kernelBoot": {"container":
                {"image": "local/kernel:1"}}}}, "volumes": [{"name": "d", "containerDisk": {"image": "local/disk:1"}}]},
                "status": {"phase": "Scheduling", "conditions": [{"type": "Synchronized", "status": "False", "reason": "ErrImagePull",
                "message": "image local/kernel:1 is not on this node; load it with `ironclad image load`"}]}}}),
            "work does not run: the image local/kernel:1 is not on its node, and no registry has it.",
            "local/kernel:1",
            "ironclad image load ARCHIVE",
        ),
        (
            "it was cut short",
            json!({"vmi": with("ErrImagePull", "cannot pull image registry.example/guest:9: layer sha256:ab has 5 bytes instead of 7; it was cut short or replaced on its way")}),
            "work does not run: the image registry.example/guest:9 is broken.",
            "5 bytes",
            "Push the image again",
        ),
        (
            "its name sounds like another fault",
            json!({"vmi": with_volumes(unsynchronized("Scheduling", "ErrImagePull", "r.example/dns-timeout@sha256:4013: manifest unknown"),
                json!([{"name": "d", "containerDisk": {"image": "r.example/dns-timeout@sha256:4013"}}]))}),
            "work does not run: the image r.example/dns-timeout@sha256:4013 does not exist.",
            "manifest unknown",
            "containerDisk.image",
        ),
        (
            "containerd's words for one that does not exist",
            json!({"vmi": with("ErrImagePull", "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.example/guest:9\": failed to resolve reference \"registry.example/guest:9\": registry.example/guest:9: not found")}),
            "work does not run: the image registry.example/guest:9 does not exist.",
            "NotFound",
            "containerDisk.image",
        ),
        (
            "containerd's words for a certificate",
            json!({"vmi": with("ErrImagePull", "failed to resolve reference \"registry.example/guest:9\": failed to do request: Head \"https://registry.example/v2/dns/timeout/404\": tls: failed to verify certificate: x509: certificate signed by unknown authority")}),
            "work does not run: the registry of the image registry.example/guest:9 shows a certificate that the node does not trust.",
            "x509",
            "certificate authority",
        ),
        (
            "containerd's words for a name that leads nowhere",
            json!({"vmi": with("ErrImagePull", "failed to resolve reference \"registry.example/guest:9\": failed to do request: Head \"https://registry.example/v2/guest/manifests/9\": dial tcp: lookup registry.example on 10.0.0.2:53: no such host")}),
            "work does not run: the registry of the image registry.example/guest:9 cannot be reached.",
            "no such host",
            "reachable",
        ),
        (
            "its name is none",
            json!({"vmi": with("InvalidImageName", "couldn't parse image name")}),
            "work does not run: the image registry.example/guest:9 has a name that no registry can have.",
            "parse",
            "Correct",
        ),
        (
            "only the Pod says it",
            json!({"vmi": with_volumes(instance("Scheduling", json!([])), volumes.clone()), "pods": [pod(json!({"initContainerStatuses": [
                {"name": "volumed", "state": {"waiting": {"reason": "ErrImagePull", "message": "pull access denied"}}}]}))]}),
            "work does not run: the registry does not give the image registry.example/guest:9 to it.",
            "Pod virt-launcher-work-x",
            "imagePullSecret",
        ),
    ]);
}
