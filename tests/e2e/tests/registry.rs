//! Images from a real registry: with a password, with certificates of its own, and when it breaks its word.

use std::time::Duration;

use e2e::{blank, container_disk, machine};
use kit::{Installation, Options, REGISTRY_PASSWORD, REGISTRY_USER, Registry, until, until_some};

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_private_image_needs_trust_and_a_secret_and_is_checked() {
    let registry = Registry::start();
    let reference = registry.push("team/blank", "1", &[("disk/disk.img", &blank())]);
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let disk = container_disk(&reference);
    let private = disk.replace("'}", "', imagePullSecret: pull}");
    let told = |name: &str, sentence: &str| {
        until_some(&format!("{name} says {sentence:?}"), PATIENCE, || {
            installation.condition("vmi", name, "Synchronized").filter(|told| told.contains(sentence))
        });
    };

    // A registry on this machine is spoken to without TLS, unless somebody says whom to trust.
    installation.apply(&machine("early", &disk));
    told("early", "HTTPS server");
    let trusted = installation.data_dir().join("registries").join(registry.address());
    std::fs::create_dir_all(&trusted).expect("a directory");
    std::fs::write(trusted.join("ca.crt"), registry.authority()).expect("the authority");
    told("early", "asks for a login; name a Secret");

    // The Secret may come after the machine.
    installation.apply(&machine("private", &private));
    until("the missing secret is told", PATIENCE, || {
        installation.list("events").iter().any(|event| event["reason"] == "FailedToRetrieveImagePullSecret")
    });
    told("private", "Secret \"pull\" not found");
    let server = format!("--docker-server={}", registry.address());
    let user = format!("--docker-username={REGISTRY_USER}");
    let password = format!("--docker-password={REGISTRY_PASSWORD}");
    installation
        .kubectl(&["create", "secret", "docker-registry", "pull", &server, &user, &password])
        .expect("creating the secret");
    until("the machine runs", PATIENCE, || {
        installation
            .get("vmi", "default", "private")
            .is_some_and(|instance| instance["status"]["phase"] == "Running")
    });

    // What the registry has stored is no longer what it was.
    let broken = registry.push("team/broken", "1", &[("disk/disk.img", &vec![7; 2 << 20])]);
    for blob in registry.blobs_above(2 << 20) {
        let length = std::fs::metadata(&blob).expect("a blob").len();
        std::fs::write(&blob, vec![8; usize::try_from(length).expect("it fits")]).expect("breaking it");
    }
    let broken = container_disk(&broken).replace("'}", "', imagePullSecret: pull}");
    installation.apply(&machine("broken", &broken));
    told("broken", "it was damaged or replaced on its way");

    // A login opens an image for those who have it, on a node that has the image already.
    installation.kubectl(&["create", "namespace", "others"]).expect("a namespace");
    let stranger =
        machine("stranger", &disk).replace("name: stranger}", "name: stranger, namespace: others}");
    installation.apply(&stranger);
    until("the stranger is refused", PATIENCE, || {
        let instance = installation.get("vmi", "others", "stranger");
        instance.is_some_and(|instance| instance["status"].to_string().contains("asks for a login"))
    });

    // Gone altogether, it is named; what was pulled stays usable.
    drop(registry);
    let absent = container_disk(&reference.replace("team/blank", "team/other"));
    installation.apply(&machine("absent", &absent));
    told("absent", "cannot be reached: Connection refused");
    installation.apply(&machine("again", &private));
    until("the image that is here is used", PATIENCE, || {
        installation
            .get("vmi", "default", "again")
            .is_some_and(|instance| instance["status"]["phase"] == "Running")
    });
}
