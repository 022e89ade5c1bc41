//! Probes of guests: who is not ready leaves its Services, and who is not alive is ended.

use std::time::Duration;

use e2e::example;
use e2e::rough::runs;
use e2e::streams::Proxy;
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(180);
/// What the guest runs: a web server, and a shell for whoever connects.
const SERVES: &str = "mkdir -p /www; httpd -p 80 -h /www; nc -ll -p 7777 -e /bin/sh > /dev/null 2>&1 &";

/// The example's machine with probes in its specification.
fn probed(name: &str, command: &str, probes: &str) -> String {
    example("hello.yaml")
        .replace("name: hello\n", &format!("name: {name}\n"))
        .replace("guest: 192Mi", "guest: 160Mi")
        .replace(
            "masquerade: {}",
            "masquerade: {}\n              ports: [{name: http, port: 80}, {port: 7777}]",
        )
        .replace(
            "      terminationGracePeriodSeconds: 30\n",
            &format!("      terminationGracePeriodSeconds: 30\n{probes}"),
        )
        .replace(r#"echo "GREETING" > /dev/console"#, command)
}

#[test]
fn a_guest_is_ready_and_alive_as_its_probes_find() {
    let installation = Installation::start(Options::default());
    // A guest that boots on a busy machine is not dead: its machine may take half a minute to start, and its agent more to
    // answer for the first time.
    let probes =
        "      readinessProbe: {httpGet: {port: http, path: /ready}, periodSeconds: 1, timeoutSeconds: 15}
      livenessProbe:
        exec: {command: [test, '!', -e, /www/dead]}
        initialDelaySeconds: 30
        periodSeconds: 1
        timeoutSeconds: 30
        failureThreshold: 6
";
    installation.apply(&probed("web", SERVES, probes));
    let ping = "      readinessProbe: {guestAgentPing: {}, periodSeconds: 1, timeoutSeconds: 5}\n";
    installation.apply(&probed("pinged", "true", ping));
    let why = |name: &str| installation.condition("vmi", name, "Ready").unwrap_or_default();
    until("the web server's answer is told", PATIENCE, || {
        why("web").contains("[compute]: Readiness probe failed: HTTP probe failed with statuscode: 404")
    });
    assert!(!runs(&installation, "web"));

    let proxy = Proxy::start(&installation);
    // The shell comes after the web server.
    let mut shell =
        until_some("the guest listens", PATIENCE, || proxy.try_open("/web/portforward/7777/tcp").ok());
    shell.send(b"touch /www/ready\n");
    until("it is ready", PATIENCE, || runs(&installation, "web"));
    until("the machine says so", PATIENCE, || {
        installation.get("vm", "default", "web").is_some_and(|vm| vm["status"]["ready"] == true)
    });
    // Another kubelet has no reason to doubt it.
    installation.kill();
    installation.up();
    let pod = || {
        let instance = installation.get("vmi", "default", "web").unwrap_or_default();
        let uid = instance["metadata"]["uid"].clone();
        let pods = installation.list("pods").into_iter();
        pods.into_iter().find(|pod| pod["metadata"]["labels"]["kubevirt.io/created-by"] == uid)
    };
    let since = |pod: Option<serde_json::Value>| {
        let pod = pod.unwrap_or_default();
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
        ready.map(|ready| (ready["status"].clone(), ready["lastTransitionTime"].clone()))
    };
    let before = since(pod());
    let proxy = Proxy::start(&installation);
    let mut shell = until_some("the machine is reached again", PATIENCE, || {
        proxy.try_open("/web/portforward/7777/tcp").ok()
    });
    shell.send(b"echo here\n");
    shell.read_until("here");
    assert_eq!(since(pod()), before);

    shell.send(b"rm /www/ready\n");
    until("it is ready no more", PATIENCE, || why("web").contains("statuscode: 404"));
    until("a guest whose agent answers is ready", PATIENCE, || runs(&installation, "pinged"));

    shell.send(b"touch /www/dead\n");
    let told = until_some("the instance ends for it", PATIENCE, || {
        installation.events("web", "Stopped").into_iter().find(|told| told.starts_with("Liveness"))
    });
    assert_eq!(told, "Liveness probe failed: test ! -e /www/dead ended with 1; the machine is ended");
    until("the machine says how its instance failed", PATIENCE, || {
        installation.condition("vm", "web", "Failure").is_some_and(|failure| failure.contains(&told))
    });
    for word in ["Readiness probe failed: HTTP", "Liveness probe failed: test"] {
        until(&format!("an event says: {word}"), PATIENCE, || {
            installation.list("events").iter().any(|event| {
                let told = event["message"].as_str().unwrap_or_default();
                event["reason"] == "Unhealthy" && told.starts_with(word)
            })
        });
    }
    until("the guest that was found dead is gone", PATIENCE, || {
        let instance = installation.get("vmi", "default", "web");
        instance.is_none_or(|instance| instance["status"]["phase"] != "Failed")
    });
}
