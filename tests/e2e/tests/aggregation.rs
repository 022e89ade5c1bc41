//! APIs that other programs answer, as the rest of an installation sees them.

use std::time::Duration;

use e2e::control_plane;
use kit::until_some;

const PATIENCE: Duration = Duration::from_secs(60);
const ABSENT: &str = "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.absent.example.test}
spec:
  group: absent.example.test
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 15
  insecureSkipTLSVerify: true
  service: {namespace: default, name: nobody, port: 443}
";

#[test]
fn a_namespace_waits_for_everybody_to_say_what_is_in_it() {
    let api = control_plane();
    api.apply(ABSENT);
    until_some("the absent API is told of", PATIENCE, || {
        api.condition("apiservice", "v1.absent.example.test", "Available")
            .filter(|why| why.contains("nobody"))
    });
    api.kubectl(&["create", "namespace", "leaving"]).expect("a namespace");
    api.kubectl(&["delete", "namespace", "leaving", "--wait=false"]).expect("deleting it");
    let told = until_some("the namespace says for whom it waits", PATIENCE, || {
        api.condition("namespace", "leaving", "NamespaceDeletionDiscoveryFailure")
            .filter(|told| told.contains("absent.example.test"))
    });
    assert!(told.starts_with("Discovery failed for some groups, 1 failing: "), "{told}");
    assert!(
        api.get("namespace", "", "leaving").is_some(),
        "what it holds in the absent API may still be there"
    );

    api.kubectl(&["delete", "apiservice", "v1.absent.example.test"]).expect("deleting the API");
    api.kubectl(&["wait", "--for=delete", "namespace/leaving", "--timeout=60s"]).expect("it ends");
}
