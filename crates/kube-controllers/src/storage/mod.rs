//! Binds claims to volumes, makes volumes on the nodes' own disks, and lets go what nobody uses. Judgement:
//! [`plan::storage`].
//!
//! A local volume is a directory of a node. Here only its object is made and deleted; the node's kubelet makes the
//! directory when a Pod first uses the volume, and removes it before the object goes (a finalizer waits for that).

mod caches;
mod write;

use std::sync::Arc;
use std::time::Duration;

use kube_ext::{ApiError, Context, Key, ObjectRef, Queue, Recorder, Severity, Tasks, resources, work};
use plan::storage::{self, claim, volume};

pub(crate) use self::caches::{Caches, Work, queue};
use self::write::Writer;
use crate::scheduler::Cluster;

/// Claims and volumes that are worked on at the same time.
const PARALLEL: usize = 4;

struct Controller {
    writer: Writer,
    recorder: Recorder,
    caches: Caches,
    cluster: Cluster,
    queue: Queue<Work>,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(
    context: &Context,
    caches: Caches,
    cluster: Cluster,
    queue: Queue<Work>,
    tasks: &mut Tasks,
) {
    let recorder = Recorder::start(context, "persistentvolume-controller", tasks);
    let writer = Writer::new(&context.client);
    let controller = Arc::new(Controller { writer, recorder, caches, cluster, queue });
    tasks.add(async move {
        controller.caches.synced().await;
        controller.cluster.synced().await;
        work(controller.queue.clone(), PARALLEL, |item| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&item).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, item: &Work) -> Result<Option<Duration>, ApiError> {
        match item {
            Work::Claim(key) => self.claim(key).await?,
            Work::Volume(key) => self.volume(key).await?,
            Work::Waiting => {
                let claims = self.caches.claims.all().into_iter();
                claims
                    .filter(|(_, claim)| claim.volume.is_empty() || claim.phase != "Bound")
                    .for_each(|(key, _)| self.queue.add(Work::Claim(key)));
            }
        }
        Ok(None)
    }

    async fn claim(&self, key: &Key) -> Result<(), ApiError> {
        let Some((known, revision)) = self.caches.claims.read(key) else { return Ok(()) };
        let observed = claim::Observed {
            claim: (*known).clone(),
            volumes: self.volumes_for(&known),
            classes: self.caches.classes.all().into_iter().map(|(_, class)| (*class).clone()).collect(),
            places: self.cluster.places(),
            users: self.cluster.users(key),
        };
        let plan = claim::step(&observed);
        if !plan.actions.is_empty() {
            tracing::debug!(claim = %key, %plan, "planned");
        }
        for action in &plan.actions {
            if let claim::Action::Tell(notice) = action {
                let object =
                    ObjectRef::new(&resources::PERSISTENT_VOLUME_CLAIM, key.clone(), known.uid.clone());
                let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
                self.recorder.record(&object, severity, notice.reason, &notice.message);
            } else {
                self.writer.claim(&known, &revision, action).await?;
            }
        }
        Ok(())
    }

    /// The volume that a claim names, or all that might fill it.
    fn volumes_for(&self, claim: &storage::Claim) -> Vec<storage::Volume> {
        if claim.volume.is_empty() {
            return self.caches.volumes.all().into_iter().map(|(_, volume)| (*volume).clone()).collect();
        }
        let named = self.caches.volumes.get(&Key::cluster(&claim.volume));
        named.map(|volume| (*volume).clone()).into_iter().collect()
    }

    async fn volume(&self, key: &Key) -> Result<(), ApiError> {
        let Some((known, revision)) = self.caches.volumes.read(key) else { return Ok(()) };
        let owner = known.claim.as_ref().map(|owner| Key::new(&owner.namespace, &owner.name));
        let claim = owner.as_ref().and_then(|key| self.caches.claims.get(key));
        let observed =
            volume::Observed { volume: (*known).clone(), claim: claim.map(|claim| (*claim).clone()) };
        let plan = volume::step(&observed);
        if !plan.actions.is_empty() {
            tracing::debug!(volume = key.name, %plan, "planned");
        }
        for action in &plan.actions {
            // What is about to lose its data is looked at once more, past the picture.
            let ends = matches!(action, volume::Action::Delete | volume::Action::Phase { phase: "Released" });
            if ends && self.writer.has_claim(&known).await? {
                return Ok(());
            }
            self.writer.volume(&known, &revision, action).await?;
        }
        Ok(())
    }
}
