//! Workloads that nothing here makes Pods for: each says so. Judgement: [`plan::workloads`].

use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Context, Key, Meta, ObjectRef, Patch, Queue, Recorder, Resource, Severity, Tasks,
    resources, work,
};
use plan::workloads::{self, Action, Kind, Observed, Spec, Status};
use serde::Deserialize;
use serde_json::json;

/// Who tells of it in Events.
const NAME: &str = "workload-controller";

/// How long after a change a workload is looked at: somebody who writes it in steps is not met in between, and gets one
/// answer.
const PAUSE: Duration = Duration::from_secs(6);

const KINDS: [(Kind, Resource); 7] = [
    (Kind::CronJob, resources::CRON_JOB),
    (Kind::DaemonSet, resources::DAEMON_SET),
    (Kind::Deployment, resources::DEPLOYMENT),
    (Kind::Job, resources::JOB),
    (Kind::ReplicaSet, resources::REPLICA_SET),
    (Kind::ReplicationController, resources::REPLICATION_CONTROLLER),
    (Kind::StatefulSet, resources::STATEFUL_SET),
];

/// Any of these kinds as it is read.
#[derive(Clone, Debug, Deserialize)]
struct View {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

// Each API says itself which resource it reads.
kube_ext::view!(View => resources::DEPLOYMENT);

struct Controller {
    context: Context,
    recorder: Recorder,
    kind: Kind,
    objects: Api<View>,
}

/// Adds a controller for each kind to `tasks`.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let recorder = Recorder::start(context, NAME, tasks);
    for (kind, resource) in KINDS {
        let queue: Queue = Queue::new(context.clock.clone());
        let ready = queue.clone();
        let objects = Api::of(&context.client, resource);
        // What is kept is what tells one state from another; the rest is read when it is looked at.
        let seen = Cache::builder(objects.clone(), |view: View| Some(view.metadata.resource_version))
            .on_change(move |change| ready.add_after(change.key().clone(), PAUSE))
            .start(context, tasks);
        let controller =
            Arc::new(Controller { context: context.clone(), recorder: recorder.clone(), kind, objects });
        tasks.add(async move {
            seen.synced().await;
            work(queue, 1, |key| {
                let controller = Arc::clone(&controller);
                async move { controller.reconcile(&key).await }
            })
            .await;
        });
    }
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some(View { metadata, spec, status }) = self.objects.find(key).await? else { return Ok(None) };
        let observed = Observed {
            kind: self.kind,
            name: key.name.clone(),
            deleting: metadata.is_deleting(),
            generation: metadata.generation.unwrap_or_default(),
            spec,
            status,
        };
        for action in workloads::step(&observed, self.context.now()).actions {
            match action {
                Action::Report(change) => {
                    let patch = json!({
                        "metadata": {"resourceVersion": metadata.resource_version},
                        "status": change,
                    });
                    match self.objects.patch_status(key, &Patch::Merge(patch)).await {
                        Err(error) if error.is_not_found() => return Ok(None),
                        other => drop(other?),
                    }
                }
                Action::Tell(notice) => {
                    let object = ObjectRef::new(self.objects.resource(), key.clone(), metadata.uid.clone());
                    let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
                    self.recorder.record(&object, severity, notice.reason, &notice.message);
                }
            }
        }
        Ok(None)
    }
}
