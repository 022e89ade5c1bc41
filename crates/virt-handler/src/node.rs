//! The node's sign of life and its labels: what may be placed here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::names::{annotation, condition, event, label};
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, ApiError, Context, Key, ObjectRef, Patch, Recorder, Severity, resources};
use serde_json::{Value, json};
use wire::machine::Accelerator;

use crate::Config;

/// Between two signs of life.
const PERIOD: Duration = Duration::from_secs(60);
/// Between two attempts while the node is not registered yet.
const RETRY: Duration = Duration::from_millis(50);

/// Labels the node and shows a sign of life, for ever.
pub(crate) async fn heartbeat(config: Arc<Config>, context: Context) {
    let api = Api::<Node>::new(&context.client);
    let key = Key::cluster(&config.node_name);
    let labels = labels(&config);
    loop {
        let beat = json!({ "metadata": {
            "labels": labels,
            "annotations": { annotation::HEARTBEAT: context.now().to_string() },
        }});
        let wait = match api.patch(&key, &Patch::Merge(beat)).await {
            Ok(_) => PERIOD,
            Err(error) if error.is_not_found() => RETRY,
            Err(error) => {
                tracing::warn!(node = config.node_name, %error, "cannot show a sign of life");
                Duration::from_secs(1)
            }
        };
        context.clock.sleep(wait).await;
    }
}

/// Says at the node that its accelerator may be what keeps guests from booting. It stays until somebody takes the
/// condition away: that one guest boots says little about the others.
pub(crate) async fn suspect_accelerator(
    config: &Config,
    context: &Context,
    recorder: &Recorder,
    message: &str,
) -> Result<(), ApiError> {
    let nodes = Api::<Node>::new(&context.client);
    let key = Key::cluster(&config.node_name);
    let node = nodes.patch_status(&key, &Patch::Strategic(suspicion("True", message, context))).await?;
    let object = ObjectRef::new(&resources::NODE, key, node.metadata.uid.unwrap_or_default());
    recorder.record(&object, Severity::Warning, event::NO_BOOT_PROGRESS, message);
    Ok(())
}

fn suspicion(status: &str, message: &str, context: &Context) -> Value {
    let now = plan::time::stamp(context.now()).to_string();
    json!({ "status": { "conditions": [{
        "type": condition::ACCELERATOR_SUSPECT,
        "status": status,
        "reason": event::NO_BOOT_PROGRESS,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }] } })
}

/// What the node offers.
fn labels(config: &Config) -> BTreeMap<String, String> {
    let hypervisor = &config.hypervisor;
    let yes = || "true".to_owned();
    let mut labels = BTreeMap::from([(label::SCHEDULABLE.to_owned(), yes())]);
    let names = hypervisor.machine_types.iter().chain(hypervisor.machine_aliases.keys());
    labels.extend(names.map(|name| (format!("{}{name}", label::MACHINE_TYPE), yes())));
    // An emulator offers every model; a processor offers itself, and what it has is for the labeller to find.
    if hypervisor.accelerator == Accelerator::Tcg {
        labels
            .extend(hypervisor.cpu_models.iter().map(|name| (format!("{}{name}", label::CPU_MODEL), yes())));
    }
    labels.retain(|name, _| name.rsplit('/').next().is_some_and(|name| name.len() <= 63));
    labels
}
