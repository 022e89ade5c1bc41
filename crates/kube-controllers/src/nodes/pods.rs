//! Pods on nodes that are tainted, silent or gone. Judgement: [`plan::liveness::pods`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Context, Delete, Key, ObjectRef, Patch, Queue, Recorder, Severity, Tasks, resources, work,
};
use parking_lot::Mutex;
use plan::liveness::pods::{self, Action, Observed, Stay};
use serde_json::json;

use super::Picture;
use super::view::{PodFacts, PodView};

/// How many Pods are worked on at the same time.
const PARALLEL: usize = 4;

struct Controller {
    context: Context,
    picture: Picture,
    recorder: Recorder,
    api: Api<PodView>,
    /// Since when each Pod, by identity, is on a node that it does not endure for ever. Lost with the process: the
    /// next one gives the whole time again.
    since: Mutex<BTreeMap<Key, (String, Duration)>>,
}

/// Adds the controller to `tasks`.
pub(super) fn start(
    context: &Context,
    picture: &Picture,
    recorder: &Recorder,
    queue: Queue,
    tasks: &mut Tasks,
) {
    let controller = Arc::new(Controller {
        context: context.clone(),
        picture: picture.clone(),
        recorder: recorder.clone(),
        api: Api::new(&context.client),
        since: Mutex::default(),
    });
    tasks.add(async move {
        controller.picture.nodes.synced().await;
        controller.picture.pods.synced().await;
        work(queue, PARALLEL, |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some(pod) = self.picture.pods.get(key) else {
            self.since.lock().remove(key);
            return Ok(None);
        };
        let node = self.picture.nodes.get(&Key::cluster(pod.node.clone()));
        let taints = node.as_ref().map(|node| node.taints.clone());
        let stays = taints.as_ref().is_some_and(|taints| pods::stay(taints, &pod.endures) == Stay::Forever);
        let observed = Observed {
            node: pod.node.clone(),
            ended: pod.ended,
            deleting: pod.deleting,
            endures: pod.endures.clone(),
            taints,
            ready: node.is_some_and(|node| node.is_ready()),
            since: self.since(key, &pod, stays),
        };
        let plan = pods::step(&observed);
        for action in &plan.actions {
            tracing::info!(pod = %key, node = pod.node, %action, "the node is lost or tainted");
            match action {
                Action::Evict => self.evict(key, &pod).await?,
                Action::Remove { why } => self.remove(key, &pod, why).await?,
            }
        }
        Ok(plan.again.map(|again| again.after))
    }

    /// Returns for how long the Pod has had to endure something, and remembers since when.
    fn since(&self, key: &Key, pod: &PodFacts, stays: bool) -> Duration {
        let now = self.context.clock.elapsed();
        let mut all = self.since.lock();
        if stays {
            if all.remove(key).is_some() && !pod.deleting {
                self.tell(key, pod, &format!("Cancelling deletion of Pod {key}"));
            }
            return Duration::ZERO;
        }
        let (uid, since) = all.entry(key.clone()).or_insert_with(|| (pod.uid.clone(), now));
        if *uid != pod.uid {
            pod.uid.clone_into(uid);
            *since = now;
        }
        now.saturating_sub(*since)
    }

    fn tell(&self, key: &Key, pod: &PodFacts, message: &str) {
        let object = ObjectRef::new(&resources::POD, key.clone(), pod.uid.clone());
        self.recorder.record(&object, Severity::Normal, "TaintManagerEviction", message);
    }

    async fn evict(&self, key: &Key, pod: &PodFacts) -> Result<(), ApiError> {
        self.tell(key, pod, &format!("Marking for deletion Pod {key}"));
        let status =
            self.disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
        self.end(key, pod, &json!({"conditions": status}), None).await
    }

    async fn remove(&self, key: &Key, pod: &PodFacts, why: &str) -> Result<(), ApiError> {
        let mut status = json!({"conditions": self.disrupted("DeletionByPodGC", why)});
        if !pod.ended {
            status["phase"] = json!("Failed");
        }
        self.end(key, pod, &status, Some(0)).await
    }

    /// Says on the Pod why it goes, then deletes it.
    async fn end(
        &self,
        key: &Key,
        pod: &PodFacts,
        status: &serde_json::Value,
        grace_seconds: Option<i64>,
    ) -> Result<(), ApiError> {
        let patch = json!({"metadata": {"uid": pod.uid}, "status": status});
        match self.api.patch_status(key, &Patch::Strategic(patch)).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other.map(drop)?,
        }
        match self.api.delete(key, &Delete { grace_seconds, ..Delete::only(&pod.uid) }).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    fn disrupted(&self, reason: &str, message: &str) -> serde_json::Value {
        json!([{
            "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": plan::time::stamp(self.context.now()),
        }])
    }
}
