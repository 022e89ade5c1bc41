//! Two tenants on one node, one of whom means harm: his guest is root in its own house, names itself as his neighbour's friends do,
//! sends from their addresses, and makes Services that lead away. What policies keep from him stays kept, and names stay apart.

use std::time::Duration;

use e2e::guests::scripted;
use kit::{Installation, Options, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(180);
/// The address of the victim's Service.
const VICTIM: &str = "10.96.0.77";
const SERVER: &str = r#"mkdir -p /www; echo "hello from the victim" > /www/index.html
httpd -p 80 -h /www"#;
/// Asks for ever, and says what came.
const FRIEND: &str = r#"(while sleep 1; do
answer=$(printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 10.96.0.77 80 2>/dev/null | grep hello)
echo "service: ${answer:-nobody}" > /dev/console
done) &"#;

/// The attacker's script: it asks by Service and by Pod, as itself and from its victim's friend's address; and looks names up.
fn attack(server: &str, friend: &str) -> String {
    format!(
        r#"ip addr add {friend}/32 dev eth0
ip route add {server}/32 dev eth0 src {friend} metric 5 2>/dev/null
(while sleep 1; do
for target in {VICTIM} {server}; do
for source in "" "-s {friend}"; do
answer=$(printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 $source $target 80 2>/dev/null | grep hello)
echo "attack: ${{answer:-nothing}}" > /dev/console
done
done
for name in web web.blue; do
address=$(ping -c 1 -W 1 $name 2>/dev/null | sed -n '1s/.*(\([0-9.]*\)).*/\1/p')
echo "$name is ${{address:-nowhere}}" > /dev/console
done
echo "round done" > /dev/console
done) &"#
    )
}

/// The victim's Service, and who may use it: Pods of the same namespace with the label `app: friend`.
const HOUSE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.77, selector: {app: server}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]
---
";

/// Services of the attacker that claim his victim's address, each in another way.
fn claims(server: &str) -> [Value; 2] {
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let ports = json!([{"port": 80}]);
    let own = json!({"app": "friend"});
    [
        service("outer", json!({"externalIPs": [VICTIM, server], "selector": own, "ports": ports})),
        service(
            "balanced",
            json!({"type": "LoadBalancer", "loadBalancerIP": VICTIM, "selector": own, "ports": ports}),
        ),
    ]
}

struct World {
    installation: Installation,
}

impl World {
    fn apply(&self, namespace: &str, manifest: &str) {
        let words = ["apply", "-n", namespace, "-f", "-"];
        self.installation.kubectl_with(&words, Some(manifest)).expect("applying objects");
    }

    fn address(&self, namespace: &str, name: &str) -> String {
        until_some(&format!("{namespace}/{name} has an address"), PATIENCE, || {
            let instance = self.installation.get("vmi", namespace, name)?;
            instance["status"]["interfaces"][0]["ipAddress"].as_str().map(str::to_owned)
        })
    }

    /// Waits until a guest has said `what` as often as it had, and once more.
    fn says_again(&self, namespace: &str, name: &str, what: &str) {
        let said = || self.installation.console(namespace, name).matches(what).count();
        let before = said();
        until(&format!("{namespace}/{name} says: {what}"), PATIENCE, || said() > before);
    }
}

#[test]
fn a_neighbour_reaches_only_what_he_may() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: machines reach each other on nodes that root runs");
        return;
    }
    let world = World { installation: Installation::start(Options::default()) };
    for namespace in ["blue", "red"] {
        world.installation.kubectl(&["create", "namespace", namespace]).expect("a namespace");
    }
    world.apply("blue", HOUSE);
    world.apply("blue", &scripted("server", "masquerade", "server", SERVER));
    world.apply("blue", &scripted("friend", "masquerade", "friend", FRIEND));
    let (server, friend) = (world.address("blue", "server"), world.address("blue", "friend"));
    world.says_again("blue", "friend", "service: hello from the victim");

    // The same name, and the same label: neither is his neighbour's. His address is the Pod's own, so that what he sends leaves
    // as he sends it.
    world.apply("red", &scripted("friend", "bridge", "friend", &attack(&server, &friend)));
    world.says_again("red", "friend", "round done");
    let taken = world.installation.kubectl_with(
        &["create", "-n", "red", "-f", "-"],
        Some(&HOUSE.split("---").next().unwrap_or_default().replace("app: server", "app: friend")),
    );
    assert!(!taken.success && taken.stderr.contains(VICTIM), "the address is somebody's: {}", taken.stderr);
    for claim in claims(&server) {
        world.apply("red", &claim.to_string());
    }
    world.says_again("red", "friend", "round done");
    world.says_again("red", "friend", "round done");
    world.says_again("blue", "friend", "service: hello from the victim");

    let seen = world.installation.console("red", "friend");
    assert!(!seen.contains("hello from the victim"), "he was let in:\n{seen}");
    assert!(seen.contains("attack: nothing"), "{seen}");
    // Names are for all to look up, whole; a short one is one's own.
    assert!(seen.contains("web is nowhere"), "{seen}");
    assert!(seen.contains(&format!("web.blue is {VICTIM}")), "{seen}");
    assert!(
        !world.installation.console("blue", "friend").contains("attack: "),
        "two guests of one name are two"
    );
}
