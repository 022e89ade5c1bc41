//! Objects of the kinds that widespread programs are installed with: what rules say of wrong objects must not keep any of
//! these out.

mod common;

use common::Api;
use serde_json::Value;

const MANIFESTS: &str = include_str!("data/good_objects.yaml");

/// The path of an object's collection, as discovery tells it.
async fn collection(api: &Api, object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let known = api.get(&root).await.expect(200);
    let mut known = known["resources"].as_array().into_iter().flatten();
    let resource = known.find(|resource| resource["kind"] == kind && !text(&resource["name"]).contains('/'));
    let resource = resource.expect("the kind is served");
    let namespace = text(&object["metadata"]["namespace"]);
    let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("{root}{within}/{}", text(&resource["name"]))
}

#[tokio::test]
async fn good_objects_are_accepted_and_stay_so() {
    let api = Api::start().await;
    let mut seen = 0;
    for manifest in MANIFESTS.split("\n---\n") {
        let manifest: Value = serde_saphyr::from_str(manifest).expect("a manifest");
        let path = collection(&api, &manifest).await;
        let strict = format!("{path}?fieldValidation=Strict");
        let made = api.post(&strict, manifest.clone()).await.expect(201);
        let name = made["metadata"]["name"].as_str().expect("a name").to_owned();
        // What the server made of it is as good, and so is the manifest once more.
        let mut again = api.get(&format!("{path}/{name}")).await.expect(200);
        api.put(&format!("{path}/{name}"), again.clone()).await.expect(200);
        again["metadata"]["annotations"]["seen"] = "yes".into();
        if let Some(fields) = again["metadata"].as_object_mut() {
            fields.shift_remove("resourceVersion");
            fields.shift_remove("managedFields");
        }
        api.merge(&format!("{path}/{name}"), again).await.expect(200);
        api.apply(&format!("{path}/{name}"), "tests&force=true", manifest).await.expect(200);
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}
