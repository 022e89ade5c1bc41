//! What goes wrong is said in one sentence where people look, and mends itself once the cause is gone.

use std::time::Duration;

use e2e::example;
use kit::{Installation, Options, guest, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_missing_image_is_named_and_the_machine_starts_once_it_is_there() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let manifest = example("hello.yaml");
    installation.apply(&manifest);
    until_some("the machine says that its image is missing", PATIENCE, || {
        let machine = installation.get("vm", "default", "hello")?;
        let status = machine["status"]["printableStatus"].as_str()?.to_owned();
        ["ErrImagePull", "ImagePullBackOff"].contains(&status.as_str()).then_some(())
    });
    until("an event names the image", PATIENCE, || {
        let story = installation.kubectl(&["get", "events", "-o", "wide"]).expect("events");
        story.contains("ironclad.local/guest-kernel")
    });

    let path = guest("guest-kernel.oci.tar");
    installation.ironclad(&["image", "load", path.to_str().expect("UTF-8")]).expect("loading the image");
    until("the machine runs", PATIENCE, || {
        installation
            .get("vmi", "default", "hello")
            .is_some_and(|instance| instance["status"]["phase"] == "Running")
    });
}

#[test]
fn a_missing_secret_is_named_and_the_machine_starts_once_it_is_there() {
    let installation = Installation::start(Options::default());
    let manifest = example("hello.yaml");
    let (head, _) = manifest.split_once("            userData: |").expect("the example has inline user data");
    installation.apply(&format!("{head}            secretRef:\n              name: seed\n"));
    until("the instance names the secret", PATIENCE, || {
        installation.get("vmi", "default", "hello").is_some_and(|instance| {
            instance["status"]["conditions"].as_array().into_iter().flatten().any(|condition| {
                condition["message"].as_str().is_some_and(|message| message.contains("seed"))
            })
        })
    });
    let data = "userdata=#cloud-config\nruncmd:\n  - echo \"from a secret\" > /dev/console\n";
    installation
        .kubectl(&["create", "secret", "generic", "seed", "--from-literal", data])
        .expect("creating the secret");
    until("the guest has run what the secret says", PATIENCE, || {
        installation.console("default", "hello").contains("from a secret")
    });
}

#[test]
fn a_machine_is_stopped_and_started_by_its_run_strategy() {
    let installation = Installation::start(Options::default());
    let manifest = example("hello.yaml");
    installation.apply(&manifest);
    let phase = || {
        let instance = installation.get("vmi", "default", "hello")?;
        instance["status"]["phase"].as_str().map(str::to_owned)
    };
    until("the guest is up", PATIENCE, || installation.console("default", "hello").contains("guest: ready"));
    let set = |strategy: &str| {
        let patch = format!(r#"{{"spec":{{"runStrategy":"{strategy}"}}}}"#);
        installation
            .kubectl(&["patch", "vm", "hello", "--type", "merge", "-p", &patch])
            .expect("patching the machine");
    };
    set("Halted");
    until("the instance is gone", PATIENCE, || phase().is_none());
    until("the machine is stopped", PATIENCE, || {
        installation
            .get("vm", "default", "hello")
            .is_some_and(|vm| vm["status"]["printableStatus"] == "Stopped")
    });
    set("Always");
    until("it runs again", PATIENCE, || phase().as_deref() == Some("Running"));
}
