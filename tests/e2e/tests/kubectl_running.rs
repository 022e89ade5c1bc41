//! What kubectl tells of a running machine: its story in `describe`, and its logs in every way of asking.

use std::time::Duration;

use e2e::example;
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_running_machine_is_described_and_its_logs_are_read() {
    let installation = Installation::start(Options::default());
    // It greets for ever: whoever begins to follow hears of it later.
    let greet = "(while sleep 1; do echo greetings to kubectl > /dev/console; done) &";
    installation.apply(&example("hello.yaml").replace(r#"echo "GREETING" > /dev/console"#, greet));
    let pod = until_some("the machine has its Pod", PATIENCE, || {
        let pod = installation.list("pods").into_iter().next()?;
        pod["metadata"]["name"].as_str().map(str::to_owned)
    });
    let console = |more: &[&str]| {
        let mut arguments = vec!["logs", &pod, "-c", "guest-console-log"];
        arguments.extend(more);
        installation.kubectl(&arguments)
    };
    until("the console has begun", PATIENCE, || !console(&[]).stdout.is_empty());

    // Following shows what is printed later, and ends by itself when the Pod does.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let follow = ["logs", &pod, "-c", "guest-console-log", "-f", "--tail", "1"];
    let mut follower = installation.kubectl_in_background(&follow, file.reopen().expect("a file"));
    until("the greeting is followed", PATIENCE, || {
        std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("greetings to kubectl"))
    });

    let lines = |output: &str| output.lines().count();
    assert_eq!(lines(&console(&["--tail", "3"]).expect("the last lines")), 3);
    assert!(console(&["--limit-bytes", "100"]).expect("the first bytes").len() <= 100);
    let all = lines(&console(&["--since", "1h"]).expect("everything of the last hour"));
    assert!(all > 3, "{all} lines");
    let later = console(&["--since-time", "2999-01-01T00:00:00Z"]).expect("nothing yet");
    assert_eq!(later, "");
    let stamped = console(&["--tail", "1", "--timestamps"]).expect("a line with its time");
    assert!(stamped.starts_with("20") && stamped.contains('T'), "{stamped}");
    let unknown = installation.kubectl(&["logs", &pod, "-c", "nobody"]);
    assert!(!unknown.success && unknown.stderr.contains("nobody"), "{}", unknown.stderr);
    let compute = installation.kubectl(&["logs", &pod, "-c", "compute"]).expect("the supervisor's log");
    assert!(!compute.is_empty());

    let node = installation.list("nodes")[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let cases: [(&str, &str, &[&str]); 4] = [
        (
            "pod",
            &pod,
            &["guest-console-log:", "compute:", "Status:           Running", "Scheduled", "Started"],
        ),
        ("node", &node, &["Non-terminated Pods:", &pod, "Ready", "HolderIdentity:", "cpu"]),
        ("vmi", "hello", &["Phase:", "Running", "Ip Address:", "SuccessfulCreate", "Started"]),
        ("vm", "hello", &["Printable Status:", "Running", "SuccessfulCreate"]),
    ];
    for (kind, name, told) in cases {
        until(&format!("kubectl describe {kind} tells {told:?}"), PATIENCE, || {
            let story = installation.kubectl(&["describe", kind, name]).expect("describe");
            told.iter().all(|word| story.contains(word))
        });
    }

    installation
        .kubectl(&["delete", "vm", "hello", "--wait", "--cascade=foreground", "--timeout", "90s"])
        .expect("delete");
    until("following ends with the Pod", Duration::from_secs(60), || {
        follower.try_wait().is_ok_and(|ended| ended.is_some())
    });
}
