//! Habits of people and of the tools that stand on kubectl: pruning, sets of applied objects, dry runs, kustomize, what is
//! made from flags, the proxy, and a namespace that does not go.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{HALTED, control_plane};
use kit::{Installation, kubectl, until};

/// ConfigMaps of the names, with a label.
fn maps(names: &[&str]) -> String {
    let map = |name: &&str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{app: shop}}}}\n---\n")
    };
    names.iter().map(map).collect()
}

fn names(api: &Installation, selector: &str) -> Vec<String> {
    let listed = api.kubectl(&["get", "cm", "-l", selector, "-o", "name"]).expect("a list");
    listed.lines().map(|line| line.trim_start_matches("configmap/").to_owned()).collect()
}

#[test]
fn what_is_no_longer_applied_is_pruned() {
    let api = control_plane();
    let apply = |manifest: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["apply", "-f", "-"].into_iter().chain(more.iter().copied()).collect();
        api.kubectl_with(&arguments, Some(manifest))
    };
    let by_label = ["--prune", "-l", "app=shop", "--prune-allowlist", "core/v1/ConfigMap"];
    apply(&maps(&["a", "b"]), &by_label).expect("apply");
    let pruned = apply(&maps(&["a"]), &by_label).expect("apply --prune");
    assert!(pruned.contains("configmap/b pruned") && names(&api, "app=shop") == ["a"], "{pruned}");

    // An ApplySet keeps its members by a label that its parent's identity is in, and its kinds in an annotation.
    let by_set = |manifest: &str| {
        let mut command = api.client_program(&kubectl());
        command.args(["apply", "-n", "default", "--prune", "--applyset", "configmaps/set", "--server-side"]);
        command.args(["--force-conflicts", "-f", "-"]).env("KUBECTL_APPLYSET", "true");
        kit::run(command, Some(manifest))
    };
    by_set(&maps(&["c", "d"])).expect("apply --applyset");
    let pruned = by_set(&maps(&["c"])).expect("apply --applyset");
    assert!(pruned.contains("configmap/d pruned"), "{pruned}");
    assert_eq!(names(&api, "applyset.kubernetes.io/part-of"), ["c"]);

    // Dry runs change nothing, and a difference can be told from a failure.
    let changed = HALTED.replace("64Mi", "96Mi");
    apply(HALTED, &[]).expect("apply");
    let dry = apply(&changed, &["--server-side", "--force-conflicts", "--dry-run=server", "-o", "yaml"]);
    assert!(dry.expect("a dry run").contains("96Mi"));
    let unknown = HALTED.replace("kind: VirtualMachine", "kind: Nonsense");
    // Nothing, a difference, a failure.
    for (manifest, wanted) in [(HALTED, 0..1), (changed.as_str(), 1..2), (unknown.as_str(), 1..256)] {
        let script = r#""$0" diff -f - >/dev/null 2>&1; echo $?"#;
        let mut command = api.client_program("sh".as_ref());
        command.args(["-c", script]).arg(kubectl());
        let code: i32 = kit::run(command, Some(manifest)).stdout.trim().parse().expect("an exit code");
        assert!(wanted.contains(&code), "{code}:\n{manifest}");
    }
    assert!(!api.get("vm", "default", "halted").expect("the machine").to_string().contains("96Mi"));
}

#[test]
fn flags_and_kustomize_make_objects() {
    let api = control_plane();
    let image = "registry.example/idle:1";
    let made: [&[&str]; 10] = [
        &["run", "idle", "--image", image, "--labels", "app=idle", "--env", "A=B"],
        &["expose", "pod", "idle", "--port", "80", "--target-port", "8080"],
        &["create", "deployment", "web", "--image", image],
        &["set", "image", "deployment/web", "idle=registry.example/idle:2"],
        &["set", "env", "deployment/web", "A=B"],
        &["autoscale", "deployment", "web", "--max", "3"],
        &["create", "quota", "small", "--hard", "pods=9"],
        &["create", "ingress", "web", "--rule", "shop.test/*=idle:80"],
        &["create", "secret", "docker-registry", "pull", "--docker-username", "a", "--docker-password", "b"],
        &["debug", "idle", "--image", image, "--attach=false", "--container", "shell"],
    ];
    for arguments in made {
        api.kubectl(arguments).expect(arguments[0]);
    }
    let service = api.get("service", "default", "idle").expect("what was exposed");
    assert_eq!(service["spec"]["selector"]["app"], "idle");
    let pod = api.get("pod", "default", "idle").expect("what was run");
    assert_eq!(pod["spec"]["ephemeralContainers"][0]["name"], "shell");
    let web = api.get("deployment", "default", "web").expect("a Deployment");
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example/idle:2");
    assert_eq!(container["env"][0]["value"], "B");
    // A Pod that no node will take says so.
    until("the Pod says why it waits", Duration::from_secs(60), || {
        api.condition("pod", "idle", "PodScheduled").is_some_and(|why| why.contains("no nodes available"))
    });

    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writing");
    write("machine.yaml", HALTED);
    write(
        "kustomization.yaml",
        "namespace: default\nnamePrefix: k-\nresources: [machine.yaml]\n\
         configMapGenerator: [{name: settings, literals: [a=b]}]\n\
         patches: [{target: {kind: VirtualMachine}, patch: '[{\"op\": \"replace\", \"path\": \
         \"/spec/runStrategy\", \"value\": \"Manual\"}]'}]\n",
    );
    let folder = folder.path().display().to_string();
    api.kubectl(&["apply", "-k", &folder]).expect("apply -k");
    let machine = api.get("vm", "default", "k-halted").expect("the machine");
    assert_eq!(machine["spec"]["runStrategy"], "Manual");
    assert!(api.kubectl(&["diff", "-k", &folder]).success, "nothing differs");
    api.kubectl(&["delete", "-k", &folder, "--timeout", "60s"]).expect("delete -k");
    assert!(api.get("vm", "default", "k-halted").is_none());
}

#[test]
fn questions_are_answered() {
    let api = control_plane();
    let ask = |arguments: &[&str]| api.kubectl(arguments).expect(&arguments.join(" "));
    let wide = ask(&["api-resources", "-o", "wide", "--sort-by", "name"]);
    for named in ["deployments", "virtualmachines", "deletecollection", "all"] {
        assert!(wide.contains(named), "{named}:\n{wide}");
    }
    assert!(ask(&["api-versions"]).lines().any(|line| line == "kubevirt.io/v1"));
    assert_eq!(ask(&["auth", "can-i", "create", "virtualmachines"]).trim(), "yes");
    let denied = api.kubectl(&["auth", "can-i", "create", "pods", "--as", "nobody"]);
    assert!(!denied.success && denied.stdout.trim() == "no", "{denied:?}");
    let rights = ask(&["auth", "can-i", "--list", "--as", "nobody"]);
    assert!(rights.contains("selfsubjectreviews.authentication.k8s.io"), "{rights}");
    assert!(ask(&["auth", "whoami"]).contains("kubernetes-admin"));
    assert!(ask(&["cluster-info"]).contains("is running at"));
    let document = ask(&["get", "--raw", "/openapi/v3/apis/kubevirt.io/v1"]);
    assert!(document.contains("runStrategy"));
    assert!(
        ask(&["explain", "deployment.spec.strategy", "--api-version", "apps/v1"]).contains("rollingUpdate")
    );
    // The one asks for the older documents in protobuf, the other for the newer ones in JSON.
    for output in ["plaintext-openapiv2", "plaintext"] {
        let told = ask(&["explain", "vm.spec", "--recursive", "--output", output]);
        assert!(told.contains("runStrategy") && told.contains("containerDisk"), "{told}");
    }
    ask(&["wait", "--for", "jsonpath={.status.phase}=Active", "namespace/default", "--timeout", "30s"]);
    ask(&["create", "configmap", "late"]);
    ask(&["wait", "--for", "create", "configmap/late", "--timeout", "30s"]);
    let never = api.kubectl(&["wait", "--for", "jsonpath={.data.a}=b", "configmap/late", "--timeout", "1s"]);
    assert!(!never.success && never.stderr.contains("timed out"), "{never:?}");
}

#[test]
fn the_proxy_carries_requests_and_watches() {
    let api = control_plane();
    let mut proxy = api.client_program(&kubectl());
    let mut proxy =
        proxy.args(["proxy", "--port", "0"]).stdout(Stdio::piped()).spawn().expect("kubectl proxy");
    let mut line = String::new();
    BufReader::new(proxy.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
    let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let curl = |more: &[&str]| {
        let output =
            Command::new("curl").args(["-sS", "--max-time", "60"]).args(more).output().expect("curl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let maps = format!("http://{address}/api/v1/namespaces/default/configmaps");
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"by-proxy"}}"#;
    let made = curl(&["-H", "Content-Type: application/json", "-d", body, &maps]);
    assert!(made.contains("\"uid\""), "{made}");
    let watched = curl(&[&format!("{maps}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=by-proxy")]);
    assert!(watched.contains("ADDED") && watched.contains("by-proxy"), "{watched}");
    proxy.kill().expect("ending the proxy");
    proxy.wait().expect("the proxy's end");
}

#[test]
fn a_namespace_that_does_not_go_says_what_it_waits_for() {
    let api = control_plane();
    api.kubectl(&["create", "namespace", "shop"]).expect("a namespace");
    api.kubectl(&["create", "configmap", "kept", "-n", "shop"]).expect("an object");
    let held = |finalizers: &str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{finalizers}}}}}"#);
        api.kubectl(&["patch", "cm", "kept", "-n", "shop", "--type", "merge", "-p", &patch]).expect("patch");
    };
    held(r#"["example.test/keep"]"#);
    api.kubectl(&["delete", "namespace", "shop", "--wait=false"]).expect("delete");
    let wait =
        ["wait", "namespace/shop", "--for", "condition=NamespaceFinalizersRemaining", "--timeout", "60s"];
    api.kubectl(&wait).expect("it says that something stays");
    let told = |condition: &str| {
        let namespace = api.kubectl(&["get", "namespace", "shop", "-o", "json"]).expect("it is still there");
        let namespace: serde_json::Value = serde_json::from_str(&namespace).expect("JSON");
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|entry| entry["type"] == condition);
        found.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
    };
    assert!(told("NamespaceFinalizersRemaining").contains("example.test/keep in 1 resource instances"));
    assert!(told("NamespaceContentRemaining").contains("configmaps. has 1 resource instances"));
    let refused = api.kubectl(&["create", "configmap", "late", "-n", "shop"]);
    assert!(!refused.success && refused.stderr.contains("being terminated"), "{}", refused.stderr);
    held("null");
    api.kubectl(&["wait", "namespace/shop", "--for=delete", "--timeout", "60s"]).expect("it goes");
}
