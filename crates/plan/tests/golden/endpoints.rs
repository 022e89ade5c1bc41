//! The slices and the Endpoints object of Services.

use k8s_openapi::api::core::v1;
use plan::endpoints::{Pod, PodObject, Service, endpoints, slices};
use serde_json::{Value, json};

use super::teller::Story;

pub fn service(spec: Value) -> v1::Service {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "5e41", "labels": {"team": "blue"}},
        "spec": spec,
    }))
    .unwrap()
}

/// A launcher Pod as the API shows it.
pub fn pod(name: &str, address: &str, labels: Value, ready: bool) -> v1::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": labels},
        "spec": {
            "nodeName": "node-0", "hostname": name, "subdomain": "web",
            "containers": [{"name": "compute", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}],
        },
        "status": {
            "phase": "Running", "podIP": address,
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        },
    }))
    .unwrap()
}

/// What is known of a Pod.
pub fn known(pod: &v1::Pod) -> Pod {
    serde_json::from_value::<PodObject>(serde_json::to_value(pod).unwrap()).unwrap().into()
}

fn tell(story: &mut Story, title: &str, spec: Value, pods: &[v1::Pod]) {
    let service = Service::of(&service(spec)).unwrap();
    let pods: Vec<Pod> = pods.iter().map(known).collect();
    let plan = json!({"slices": slices(&service, &pods), "endpoints": endpoints(&service, &pods)});
    let shown = pods.iter().map(|pod| {
        let address = pod.address.as_deref().unwrap_or("no address");
        let state = [(pod.ready, "ready"), (pod.deleting, "deleting"), (pod.ended, "ended")];
        let words: Vec<&str> = state.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        format!("{} {address} {:?}: {}", pod.name, pod.labels, words.join(", "))
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    story.scene(title, &shown, &serde_json::to_string_pretty(&plan).unwrap());
}

#[test]
fn pods_behind_services() {
    let mut story = Story::default();
    let web = json!({"app": "web"});
    let ports = json!([{"name": "www", "port": 80, "protocol": "TCP", "targetPort": "http"}]);
    let mut leaving = pod("c", "10.244.0.4", web.clone(), true);
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-05T12:00:00Z")).unwrap();
    let mut ended = pod("d", "10.244.0.5", web.clone(), false);
    ended.status.as_mut().unwrap().phase = Some("Succeeded".into());
    let mut unaddressed = pod("e", "", web.clone(), false);
    unaddressed.status.as_mut().unwrap().pod_ip = None;
    let pods = [
        pod("b", "10.244.0.3", web.clone(), false),
        pod("a", "10.244.0.2", web.clone(), true),
        leaving,
        ended,
        unaddressed,
        pod("other", "10.244.0.9", json!({"app": "db"}), true),
    ];
    let spec = |more: Value| {
        let mut spec = json!({"selector": web, "ports": ports, "clusterIP": "10.96.0.9"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    tell(&mut story, "Pods in every state", spec(json!({})), &pods);
    tell(
        &mut story,
        "A headless Service that publishes all",
        spec(json!({"clusterIP": "None", "publishNotReadyAddresses": true})),
        &pods[..2],
    );
    tell(&mut story, "No Pod yet", spec(json!({})), &[]);
    story.ends_as("endpoints");
}

#[test]
fn somebody_elses_services_are_left_alone() {
    let without = Service::of(&service(json!({"ports": [{"port": 1}]}))).unwrap();
    assert!(slices(&without, &[]).is_empty());
    assert!(endpoints(&without, &[]).is_none());
    assert!(Service::of(&service(json!({"type": "ExternalName", "externalName": "a.example"}))).is_none());
}

#[test]
fn many_pods_are_many_slices_and_none_is_lost() {
    let service = Service::of(&service(json!({"selector": {"a": "b"}, "ports": [{"port": 1}]}))).unwrap();
    let pods: Vec<Pod> = (0..250)
        .map(|number| {
            known(&pod(&format!("p{number:03}"), &format!("10.0.1.{number}"), json!({"a": "b"}), true))
        })
        .collect();
    let slices = slices(&service, &pods);
    assert_eq!(slices.iter().map(|slice| slice.endpoints.len()).collect::<Vec<_>>(), [100, 100, 50]);
    let names: std::collections::BTreeSet<_> =
        slices.iter().map(|slice| slice.metadata.name.clone()).collect();
    assert_eq!(names.len(), 3);
}
