//! Who may what: every subresource with every role, by real requests. The expectations are what KubeVirt 1.8 answers
//! behind Kubernetes 1.35; nobody's machine is touched, since none exists: who may is told that, who may not is refused
//! before.

#![allow(clippy::unwrap_in_result, reason = "helpers of tests")]

use std::fmt::Write as _;

use e2e::control_plane;
use e2e::requests::{Answer, Identity, Question, ask};
use kit::Installation;
use serde_json::Value;

/// Verb by method, as Kubernetes reads paths that name an object.
const METHODS: [(&str, &str); 5] =
    [("GET", "get"), ("PUT", "update"), ("POST", "create"), ("PATCH", "patch"), ("DELETE", "delete")];

/// Method, path below the namespace, and who may: `v`iew, `e`dit, `a`dmin, `m`igrate. Kubernetes authorises the first part
/// of a subresource's name only, which no role grants for `sev` and `evacuate`.
const PATHS: &str = "
    PUT virtualmachines/v/start ea
    PUT virtualmachines/v/stop ea
    PUT virtualmachines/v/restart ea
    PUT virtualmachines/v/migrate m
    PUT virtualmachines/v/addvolume ea
    PUT virtualmachines/v/removevolume ea
    PUT virtualmachines/v/memorydump ea
    PUT virtualmachines/v/removememorydump -
    PUT virtualmachines/v/evacuate/cancel -
    GET virtualmachines/v/expand-spec vea
    GET virtualmachines/v/portforward/9 ea
    GET virtualmachines/v/portforward/9/udp ea
    GET virtualmachines/v/objectgraph vea
    PUT virtualmachineinstances/v/pause ea
    PUT virtualmachineinstances/v/unpause ea
    PUT virtualmachineinstances/v/freeze ea
    PUT virtualmachineinstances/v/unfreeze ea
    PUT virtualmachineinstances/v/reset ea
    PUT virtualmachineinstances/v/softreboot ea
    PUT virtualmachineinstances/v/addvolume ea
    PUT virtualmachineinstances/v/removevolume ea
    PUT virtualmachineinstances/v/evacuate/cancel -
    PUT virtualmachineinstances/v/sev/setupsession -
    PUT virtualmachineinstances/v/sev/injectlaunchsecret -
    PUT virtualmachineinstances/v/backup -
    PUT virtualmachineinstances/v/redefine-checkpoint -
    GET virtualmachineinstances/v/console ea
    GET virtualmachineinstances/v/vnc ea
    GET virtualmachineinstances/v/vnc/screenshot a
    GET virtualmachineinstances/v/usbredir ea
    GET virtualmachineinstances/v/vsock -
    GET virtualmachineinstances/v/portforward/9 ea
    GET virtualmachineinstances/v/portforward/9/udp ea
    GET virtualmachineinstances/v/guestosinfo vea
    GET virtualmachineinstances/v/userlist vea
    GET virtualmachineinstances/v/filesystemlist vea
    GET virtualmachineinstances/v/sev/fetchcertchain -
    GET virtualmachineinstances/v/sev/querylaunchmeasurement -
    GET virtualmachineinstances/v/objectgraph vea
    PUT expand-vm-spec vea
";

/// Users of both namespaces, by letter and role.
const ROLES: [(char, &str); 4] = [
    ('v', "kubevirt.io:view"),
    ('e', "kubevirt.io:edit"),
    ('a', "kubevirt.io:admin"),
    ('m', "kubevirt.io:migrate"),
];

/// A question, whether it is allowed, and what it is called in a complaint.
struct Case {
    question: Question,
    allowed: bool,
    /// The role passes Kubernetes' check of the name's first part, and KubeVirt refuses in its own way.
    nested: bool,
    name: String,
}

#[test]
fn every_subresource_is_open_to_the_roles_that_the_reference_opens_it_to() {
    let installation = control_plane();
    installation.apply(&bindings());
    let token = |namespace: &str, account: &str| {
        installation
            .kubectl(&["create", "token", "-n", namespace, account])
            .expect("a token")
            .trim()
            .to_owned()
    };
    // Standard roles contain KubeVirt's by aggregation; an account has one of those, and shows a real token.
    let mut identities =
        vec![('e', Identity::Token(token("one", "editor"))), ('n', Identity::Token(token("two", "idle")))];
    for (letter, _) in ROLES {
        identities.push((letter, Identity::User(format!("{letter}-one"))));
    }
    identities.push(('n', Identity::User("stranger".to_owned())));

    let mut cases = Vec::new();
    for line in PATHS.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let mut word = || words.next().expect("three words a line");
        let (method, path, may) = (word(), word(), word());
        for (letter, identity) in &identities {
            let nested = path.ends_with("/vnc/screenshot") && *letter == 'e';
            for (tried, _) in METHODS {
                let allowed = tried == method && may.contains(*letter);
                cases.push(case(identity, tried, "one", path, allowed, nested && tried == method));
            }
            // Rights end with the namespace.
            let own = METHODS.iter().find(|(name, _)| *name == method).expect("a method").0;
            cases.push(case(identity, own, "two", path, false, false));
        }
        let own = METHODS.iter().find(|(name, _)| *name == method).expect("a method").0;
        cases.push(case(&Identity::Nobody, own, "one", path, false, false));
        cases.push(case(&Identity::Administrator, own, "one", path, true, false));
    }
    let questions: Vec<Question> = cases.iter().map(|case| case.question.clone()).collect();
    let answers = ask(&installation, &questions);
    let mut complaints = String::new();
    for (case, answer) in cases.iter().zip(&answers) {
        if let Some(complaint) = judge(case, answer) {
            writeln!(complaints, "{}: {complaint}: {} {}", case.name, answer.code, answer.body)
                .expect("memory");
        }
    }
    assert!(complaints.is_empty(), "of {} requests:\n{complaints}", cases.len());

    nothing_is_left_out(&installation);
    what_is_nobodys_is_open(&installation);
    objects_are_theirs_alone(&installation, &token("one", "editor"));
}

/// Holds the table to what the server says that there is: a new path needs its line.
fn nothing_is_left_out(installation: &Installation) {
    let listed =
        installation.kubectl(&["get", "--raw", "/apis/subresources.kubevirt.io/v1"]).expect("a list");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let known: Vec<&str> = PATHS.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let names: Vec<&str> = listed["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    assert!(names.len() > 20, "{listed}");
    for name in names {
        let path = name.replacen('/', "/v/", 1);
        let is_there = known.iter().any(|known| {
            known.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("/9"))
        });
        assert!(is_there, "{name} has no line in the table of rights");
    }
}

/// What belongs to the installation: `kubevirt.io:default` gives two of its paths to everybody who is known.
fn what_is_nobodys_is_open(installation: &Installation) {
    let user = |name: &str| Identity::User(name.to_owned());
    let table = [
        ("version", user("stranger"), 200),
        ("version", user("v-one"), 200),
        ("version", Identity::Administrator, 200),
        ("version", Identity::Nobody, 401),
        ("guestfs", user("stranger"), 200),
        ("guestfs", Identity::Nobody, 401),
        ("healthz", user("stranger"), 403),
        ("healthz", user("a-one"), 403),
        ("healthz", Identity::Administrator, 200),
        ("start-cluster-profiler", user("a-one"), 403),
        ("dump-cluster-profiler", user("stranger"), 403),
    ];
    let question = |path: &str, identity: &Identity| Question {
        identity: identity.clone(),
        method: "GET",
        path: format!("/apis/subresources.kubevirt.io/v1/{path}"),
        body: String::new(),
    };
    let questions: Vec<Question> = table.iter().map(|(path, who, _)| question(path, who)).collect();
    for ((path, who, expected), answer) in table.iter().zip(ask(installation, &questions)) {
        assert_eq!(answer.code, *expected, "{path} for {who:?}: {}", answer.body);
    }
}

fn case(
    identity: &Identity,
    method: &'static str,
    namespace: &str,
    path: &str,
    allowed: bool,
    nested: bool,
) -> Case {
    let body = if path == "expand-vm-spec" { "{}" } else { "" };
    let question = Question {
        identity: identity.clone(),
        method,
        path: format!("/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/{path}"),
        body: body.to_owned(),
    };
    let who = match identity {
        Identity::Token(_) => "an account".to_owned(),
        Identity::User(name) => name.clone(),
        other => format!("{other:?}"),
    };
    Case { question, allowed, nested, name: format!("{who}: {method} {namespace}/{path}") }
}

/// Says what is wrong with an answer.
fn judge(case: &Case, answer: &Answer) -> Option<&'static str> {
    if case.allowed {
        // There is no machine, so nothing succeeds; but it is not for want of rights.
        return matches!(answer.code, 0 | 401 | 403 | 405).then_some("should be allowed");
    }
    if case.question.identity == Identity::Nobody {
        return (answer.code != 401 && answer.code != 403).then_some("should be refused");
    }
    if case.nested {
        return (answer.code != 401).then_some("should be refused by KubeVirt itself");
    }
    let status = answer.json();
    let method = case.question.method;
    let verb = match (method, case.question.path.ends_with("/expand-vm-spec")) {
        // A path without an object's name is a collection's.
        ("GET", true) => "list",
        ("DELETE", true) => "deletecollection",
        _ => METHODS.iter().find(|(known, _)| *known == method).expect("a method").1,
    };
    let message = status["message"].as_str().unwrap_or_default();
    let well_formed = answer.media_type.starts_with("application/json")
        && status["kind"] == "Status"
        && status["status"] == "Failure"
        && status["reason"] == "Forbidden"
        && status["code"] == 403
        && message.contains(&format!("cannot {verb} resource"))
        && message.contains("in the namespace");
    if answer.code == 403 && well_formed { None } else { Some("should be refused with 403 and a Status") }
}

/// What tenants of namespace `one` reach of namespace `two`, and of what belongs to everybody.
fn objects_are_theirs_alone(installation: &Installation, token: &str) {
    let table = [
        ("GET", "/api/v1/namespaces/two/secrets", 403),
        ("GET", "/api/v1/namespaces/two/secrets/password", 403),
        ("GET", "/api/v1/secrets", 403),
        ("GET", "/api/v1/namespaces/one/secrets", 200),
        ("GET", "/api/v1/namespaces/two/persistentvolumeclaims/disk", 403),
        ("GET", "/apis/kubevirt.io/v1/namespaces/two/virtualmachines", 403),
        ("GET", "/apis/kubevirt.io/v1/virtualmachines", 403),
        ("GET", "/apis/kubevirt.io/v1/namespaces/one/virtualmachines", 200),
        ("GET", "/api/v1/namespaces/two/pods/p/log", 403),
        ("GET", "/api/v1/namespaces/kubevirt/secrets", 403),
        // An edit role may write to its own namespace, and to nothing beyond.
        ("DELETE", "/apis/kubevirt.io/v1/namespaces/one/virtualmachines/v", 404),
        ("DELETE", "/apis/kubevirt.io/v1/namespaces/two/virtualmachines/v", 403),
        ("DELETE", "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt", 403),
        ("GET", "/api/v1/persistentvolumes", 403),
        ("GET", "/api/v1/nodes", 403),
        // Encoded, doubled and dotted, a path is still one path: to the rights as to what is then done.
        ("GET", "/api/v1/namespaces/one%2F..%2Ftwo/secrets", 403),
        ("GET", "/api/v1/namespaces/one/../two/secrets", 403),
        ("GET", "/api/v1/namespaces/one/secrets/..%2f..%2ftwo%2fsecrets%2fpassword", 403),
        ("GET", "/api/v1//namespaces//two//secrets", 403),
    ];
    let questions: Vec<Question> = table
        .iter()
        .map(|(method, path, _)| Question {
            identity: Identity::Token(token.to_owned()),
            method,
            path: (*path).to_owned(),
            body: String::new(),
        })
        .collect();
    for ((method, path, expected), answer) in table.iter().zip(ask(installation, &questions)) {
        assert_eq!(answer.code, *expected, "{method} {path}: {}", answer.body);
        assert!(!answer.body.contains("aHVzaA=="), "{method} {path} shows a secret: {}", answer.body);
    }
}

/// Namespaces, users and accounts.
fn bindings() -> String {
    let mut manifest = String::new();
    for namespace in ["one", "two"] {
        writeln!(manifest, "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}\n---")
            .expect("memory");
        let mut bind = |name: &str, role: &str, subject: String| {
            writeln!(
                manifest,
                "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: '{name}', namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: '{role}'}}
subjects: [{subject}]
---"
            )
            .expect("memory");
        };
        for (letter, role) in ROLES {
            let subject =
                format!("{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {letter}-{namespace}}}");
            bind(&letter.to_string(), role, subject);
        }
        bind("editor", "edit", format!("{{kind: ServiceAccount, name: editor, namespace: {namespace}}}"));
        for account in ["editor", "idle"] {
            let metadata = format!("{{name: {account}, namespace: {namespace}}}");
            writeln!(manifest, "{{apiVersion: v1, kind: ServiceAccount, metadata: {metadata}}}\n---")
                .expect("memory");
        }
    }
    manifest.push_str(
        "apiVersion: v1
kind: Secret
metadata: {name: password, namespace: two}
data: {password: aHVzaA==}
",
    );
    manifest
}
