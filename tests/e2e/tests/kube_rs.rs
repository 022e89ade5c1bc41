//! A controller as people write them with kube-rs: a kind of its own, a finalizer, children that it owns and watches,
//! status by server-side apply. It runs beside the embedded API and is asked by kubectl.

use std::sync::Arc;
use std::time::Duration;

use e2e::control_plane;
use futures::StreamExt as _;
use kit::{Installation, until};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::watcher;
use kube::{Client, Config, ResourceExt as _};
use serde_json::json;

const MANAGER: &str = "lamp-controller";
const FINALIZER: &str = "lamps.example.test/cleanup";
const SOON: Duration = Duration::from_secs(60);

const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.example.test}
spec:
  group: example.test
  names: {kind: Lamp, plural: lamps, singular: lamp, shortNames: [lp]}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}, scale: {specReplicasPath: .spec.bulbs, statusReplicasPath: .status.lit}}
      additionalPrinterColumns: [{name: Lit, type: integer, jsonPath: .status.lit}]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {bulbs: {type: integer, minimum: 0, maximum: 9}}}
            status: {type: object, properties: {lit: {type: integer}, observedGeneration: {type: integer}}}
";

fn lamps() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("example.test", "v1", "Lamp"))
}

fn config_maps() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"))
}

/// Keeps a ConfigMap for each lamp, and the lamp's status; takes the ConfigMap `ledger-NAME` away when the lamp goes.
async fn reconcile(lamp: Arc<DynamicObject>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let namespace = lamp.namespace().unwrap_or_default();
    let api = Api::namespaced_with((*client).clone(), &namespace, &lamps());
    let maps = Api::<DynamicObject>::namespaced_with((*client).clone(), &namespace, &config_maps());
    let outcome = finalizer(&api, FINALIZER, lamp, |event| async {
        match event {
            Event::Apply(lamp) => light(&lamp, &api, &maps).await,
            Event::Cleanup(lamp) => {
                let ledger = format!("ledger-{}", lamp.name_any());
                match maps.delete(&ledger, &kube::api::DeleteParams::default()).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    other => drop(other?),
                }
                Ok(Action::await_change())
            }
        }
    })
    .await;
    use kube::runtime::finalizer::Error;
    outcome.map_err(|error| match error {
        Error::ApplyFailed(error)
        | Error::CleanupFailed(error)
        | Error::AddFinalizer(error)
        | Error::RemoveFinalizer(error) => error,
        Error::UnnamedObject | Error::InvalidFinalizer => unreachable!("a stored object and a good name"),
    })
}

async fn light(
    lamp: &DynamicObject,
    api: &Api<DynamicObject>,
    maps: &Api<DynamicObject>,
) -> Result<Action, kube::Error> {
    let name = lamp.name_any();
    let bulbs = lamp.data["spec"]["bulbs"].as_i64().unwrap_or_default();
    let owner = json!({
        "apiVersion": "example.test/v1", "kind": "Lamp", "name": name, "uid": lamp.uid(),
        "controller": true, "blockOwnerDeletion": true,
    });
    let by = PatchParams::apply(MANAGER).force();
    for (map, owners) in [(name.clone(), json!([owner])), (format!("ledger-{name}"), json!([]))] {
        let wanted = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": map, "ownerReferences": owners},
            "data": {"bulbs": bulbs.to_string()},
        });
        maps.patch(&map, &by, &Patch::Apply(wanted)).await?;
    }
    let status = json!({
        "apiVersion": "example.test/v1", "kind": "Lamp",
        "status": {"lit": bulbs, "observedGeneration": lamp.metadata.generation},
    });
    api.patch_status(&name, &by, &Patch::Apply(status)).await?;
    Ok(Action::requeue(Duration::from_secs(300)))
}

async fn client(installation: &Installation) -> Client {
    let file = installation.data_dir().join("kubeconfig");
    let file = kube::config::Kubeconfig::read_from(file).expect("the kubeconfig");
    let config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a context");
    Client::try_from(config).expect("a client")
}

#[test]
fn a_controller_with_a_finalizer_works() {
    let installation = control_plane();
    installation.apply(DEFINITION);
    let established = ["wait", "crd/lamps.example.test", "--for=condition=Established", "--timeout", "60s"];
    installation.kubectl(&established).expect("the kind is served");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(client(&installation));
    let controller = {
        let client = client.clone();
        runtime.spawn(async move {
            let api = Api::<DynamicObject>::all_with(client.clone(), &lamps());
            let maps = Api::<DynamicObject>::all_with(client.clone(), &config_maps());
            Controller::new_with(api, watcher::Config::default(), lamps())
                .owns_with(maps, config_maps(), watcher::Config::default().streaming_lists())
                .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(200)), Arc::new(client))
                .for_each(|_| async {})
                .await;
        })
    };
    let api = Api::<DynamicObject>::namespaced_with(client, "default", &lamps());
    let lamp = json!({
        "apiVersion": "example.test/v1", "kind": "Lamp", "metadata": {"name": "desk"}, "spec": {"bulbs": 3},
    });
    let lamp: DynamicObject = serde_json::from_value(lamp).expect("a lamp");
    runtime.block_on(api.create(&PostParams::default(), &lamp)).expect("a lamp");
    let lit = |wanted: &str| {
        let wanted = format!("--for=jsonpath={{.status.lit}}={wanted}");
        installation.kubectl(&["wait", "lamp/desk", &wanted, "--timeout", "60s"]).expect("it is lit");
    };
    lit("3");
    let table = installation.kubectl(&["get", "lp"]).expect("a table");
    assert!(table.starts_with("NAME") && table.contains("LIT") && table.contains('3'), "{table}");
    installation.kubectl(&["scale", "lamp", "desk", "--replicas", "5"]).expect("scale");
    lit("5");

    // What it owns comes back when somebody takes it away.
    let uid = |name: &str| installation.get("cm", "default", name).map(|map| map["metadata"]["uid"].clone());
    let first = uid("desk").expect("the owned ConfigMap");
    installation.kubectl(&["delete", "cm", "desk"]).expect("delete");
    until("it comes back", SOON, || uid("desk").is_some_and(|second| second != first));

    // It goes when the controller has done its part, and not before.
    installation.kubectl(&["delete", "lamp", "desk", "--timeout", "60s"]).expect("delete --wait");
    assert_eq!(uid("ledger-desk"), None, "the finalizer did its part");
    until("the garbage collector does its own", SOON, || uid("desk").is_none());

    controller.abort();
    // It must not see what comes now.
    drop(runtime.block_on(controller));
    runtime.block_on(api.create(&PostParams::default(), &lamp)).expect("a lamp without a controller");
    let held = r#"{"metadata":{"finalizers":["lamps.example.test/cleanup"]}}"#;
    installation.kubectl(&["patch", "lamp", "desk", "--type", "merge", "-p", held]).expect("a finalizer");
    let waits = installation.kubectl(&["delete", "lamp", "desk", "--timeout", "2s"]);
    assert!(!waits.success && waits.stderr.contains("timed out"), "{}", waits.stderr);
    let left = installation.get("lamp", "default", "desk").expect("it waits for its finalizer");
    assert!(left["metadata"]["deletionTimestamp"].is_string(), "{left}");
    drop(runtime);
}
