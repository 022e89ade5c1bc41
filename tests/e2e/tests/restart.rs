//! Everything of ours may be killed; the guest goes on and the status is right again.

use std::time::Duration;

use kit::{Installation, Options, repository, until};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_guest_outlives_the_control_plane_and_the_agent() {
    let installation = Installation::start(Options::default());
    let manifest = std::fs::read_to_string(repository().join("examples/hello.yaml")).expect("an example");
    let manifest = manifest.replace(
        r#"echo "GREETING" > /dev/console"#,
        r#"(while sleep 1; do echo "alive" > /dev/console; done) &"#,
    );
    installation.apply(&manifest);
    until("the guest counts", PATIENCE, || heartbeats(&installation) > 0);
    let uid = uid(&installation);

    installation.kill();
    installation.up();

    assert_eq!(uid, self::uid(&installation), "the instance is the same");
    let counted = heartbeats(&installation);
    until("the guest goes on counting", PATIENCE, || heartbeats(&installation) > counted);
    let console = installation.console("default", "hello");
    assert_eq!(
        console.matches("guest: userspace up").count(),
        1,
        "the guest was not started again:\n{console}"
    );
    installation
        .kubectl(&["delete", "vm", "hello", "--wait", "--timeout", "90s"])
        .expect("deleting the machine");
    until("its Pod is gone", Duration::from_secs(60), || installation.list("pods").is_empty());
}

#[test]
fn an_acknowledged_write_outlives_the_api_server() {
    let installation = Installation::start(Options { nodes: 0, images: false, ..Options::default() });
    for number in 0..20 {
        installation
            .kubectl(&["create", "configmap", &format!("kept-{number}")])
            .expect("creating an object");
    }
    installation.kill();
    installation.up();
    let kept = installation.list("configmaps");
    let count = kept
        .iter()
        .filter(|object| object["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("kept-")))
        .count();
    assert_eq!(count, 20);
}

fn heartbeats(installation: &Installation) -> usize {
    installation.console("default", "hello").matches("alive").count()
}

fn uid(installation: &Installation) -> String {
    let instance = installation.get("vmi", "default", "hello").expect("the instance is there");
    instance["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
