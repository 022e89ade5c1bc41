//! A chart with a machine, a CustomResourceDefinition and hooks, by real helm.

use std::time::{Duration, Instant};

use e2e::control_plane;
use kit::{Installation, repository, until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

fn chart() -> String {
    repository().join("tests/e2e/clients/chart").display().to_string()
}

fn color(api: &Installation, kind: &str, name: &str) -> Option<Value> {
    let object = api.get(kind, "shop", name)?;
    object.pointer("/spec/color").or_else(|| object.pointer("/data/color")).cloned()
}

#[test]
fn a_chart_is_installed_upgraded_rolled_back_and_removed() {
    let api = control_plane();
    let helm = |arguments: &[&str]| {
        let all: Vec<&str> = arguments.iter().copied().chain(["--namespace", "shop"]).collect();
        api.helm(&all)
    };
    let chart = chart();
    helm(&["install", "web", &chart, "--create-namespace"]).expect("helm install");
    assert_eq!(color(&api, "widget", "web"), Some("blue".into()));
    assert!(api.get("vm", "shop", "web").is_some(), "the machine is there");
    assert_eq!(color(&api, "cm", "web-revision"), Some("blue".into()), "the hook ran");
    let release = api.get("secret", "shop", "sh.helm.release.v1.web.v1").expect("helm's own record");
    assert_eq!(release["type"], "helm.sh/release.v1");

    // Nobody changes the machine between one look of `kubectl diff` and the other.
    let stopped = "--for=jsonpath={.status.printableStatus}=Stopped";
    api.kubectl(&["wait", "vm/web", "-n", "shop", stopped, "--timeout", "60s"])
        .expect("its controller saw it");
    // What is there is what the chart says: by helm's own dry run, and for whoever applies its output.
    let manifest = helm(&["get", "manifest", "web"]).expect("helm get manifest");
    let diff = api.kubectl_with(&["diff", "-n", "shop", "-f", "-"], Some(&manifest));
    assert!(diff.success, "{}{}", diff.stdout, diff.stderr);
    let rendered = helm(&["template", "web", &chart, "--no-hooks"]).expect("helm template");
    let diff = api.kubectl_with(
        &["diff", "-n", "shop", "--server-side", "--force-conflicts", "-f", "-"],
        Some(&rendered),
    );
    assert!(diff.success, "{}{}", diff.stdout, diff.stderr);

    let dry = helm(&["upgrade", "web", &chart, "--set", "color=red", "--dry-run=server"]).expect("a dry run");
    assert!(dry.contains("color: red") && color(&api, "widget", "web") == Some("blue".into()), "{dry}");
    helm(&["upgrade", "web", &chart, "--set", "color=red"]).expect("helm upgrade");
    for (kind, name) in [("widget", "web"), ("cm", "web-revision")] {
        assert_eq!(color(&api, kind, name), Some("red".into()), "{kind}");
    }
    let refused = helm(&["upgrade", "web", &chart, "--set", "color=green"]);
    assert!(!refused.success && refused.stderr.contains("spec.color"), "{}", refused.stderr);
    helm(&["test", "web"]).expect("helm test");
    helm(&["rollback", "web", "1"]).expect("helm rollback");
    assert_eq!(color(&api, "widget", "web"), Some("blue".into()));
    let history = helm(&["history", "web", "-o", "json"]).expect("helm history");
    let history: Value = serde_json::from_str(&history).expect("JSON");
    let states: Vec<_> = history.as_array().into_iter().flatten().map(|entry| &entry["status"]).collect();
    assert_eq!(states, ["superseded", "superseded", "failed", "deployed"], "{history}");

    // Somebody else's value is a conflict for server-side apply, and helm says whose.
    let other = "apiVersion: shop.test/v1\nkind: Widget\nmetadata: {name: web, namespace: shop}\nspec: {color: red}\n";
    let by_other = ["apply", "--server-side", "--force-conflicts", "--field-manager", "colleague", "-f", "-"];
    api.kubectl_with(&by_other, Some(other)).expect("a colleague's apply");
    let conflict = helm(&["upgrade", "web", &chart, "--server-side=true"]);
    assert!(!conflict.success && conflict.stderr.contains("colleague"), "{}", conflict.stderr);
    helm(&["upgrade", "web", &chart, "--server-side=true", "--force-conflicts"]).expect("by force");

    helm(&["uninstall", "web", "--wait", "--timeout", "120s"]).expect("helm uninstall");
    assert!(api.get("vm", "shop", "web").is_none() && api.get("widget", "shop", "web").is_none());
    assert!(api.get("cm", "shop", "web-farewell").is_some(), "the last hook ran");
    assert!(api.kubectl(&["get", "crd", "widgets.shop.test"]).success, "helm leaves definitions");
    let secrets = api.kubectl(&["get", "secrets", "-n", "shop", "-o", "name"]).expect("secrets");
    assert_eq!(secrets, "", "no record is left");
}

#[test]
fn who_waits_for_what_is_not_carried_out_is_told_why() {
    let api = control_plane();
    let begun = Instant::now();
    let hook = api.helm(&["install", "hooked", &chart(), "--set", "job=true"]);
    let told = format!("{}{}", hook.stdout, hook.stderr);
    assert!(!hook.success && told.contains("hooked-migrate"), "{told}");
    assert!(told.contains("Failed") && told.contains("nothing here carries it out"), "{told}");

    let waited = ["install", "waits", &chart(), "--set", "replicas=1", "--wait", "--timeout", "20s"];
    let waited = api.helm(&waited);
    let why = "nothing in this installation makes Pods for a Deployment";
    assert!(!waited.success && waited.stderr.contains(why), "{}{}", waited.stdout, waited.stderr);

    let rollout = api.kubectl(&["rollout", "status", "deployment/waits"]);
    assert!(!rollout.success && rollout.stderr.contains("exceeded its progress deadline"), "{rollout:?}");
    api.kubectl(&["wait", "deployment/waits", "--for=condition=Stalled", "--timeout", "20s"]).expect("wait");
    assert!(api.condition("deployment", "waits", "Progressing").is_some_and(|told| told.contains(why)));
    until("an event says so", PATIENCE, || !api.events("waits", "NotCarriedOut").is_empty());
    api.kubectl(&["scale", "deployment", "waits", "--replicas", "0"]).expect("scale");
    api.kubectl(&["rollout", "status", "deployment/waits", "--timeout", "60s"]).expect("nothing is wanted");
    let job = ["create", "job", "once", "--image", "registry.example/idle:1"];
    api.kubectl(&job).expect("a Job");
    api.kubectl(&["wait", "job/once", "--for=condition=Failed", "--timeout", "60s"]).expect("it failed");
    until("its description says why", PATIENCE, || {
        let story = api.kubectl(&["describe", "job", "once"]).expect("describe");
        story.contains("nothing in this installation makes Pods for a Job")
    });
    // Helm gives a hook five minutes, and a Deployment has ten to make progress.
    assert!(begun.elapsed() < Duration::from_secs(240), "nobody waits for a deadline");
}
