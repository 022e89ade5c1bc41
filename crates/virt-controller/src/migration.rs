//! Migrations of instances. Judgement: [`plan::migration`].

use std::time::Duration;

use api::names::phase;
use kube_ext::{Api, ApiError, Context, Key, Patch, Recorder, Tasks, resources};
use plan::migration::{self, Action, Observed};
use serde_json::{Value, json};

use crate::caches::{Caches, InstanceFacts, InstanceView, MigrationView, Queues};
use crate::frame;

struct Controller {
    context: Context,
    caches: Caches,
    recorder: Recorder,
    migrations: Api<MigrationView>,
    instances: Api<InstanceView>,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(
    context: &Context,
    caches: &Caches,
    queues: &Queues,
    recorder: &Recorder,
    tasks: &mut Tasks,
) {
    let controller = Controller {
        context: context.clone(),
        caches: caches.clone(),
        recorder: recorder.clone(),
        migrations: Api::new(&context.client),
        instances: Api::new(&context.client),
    };
    let caches = caches.clone();
    let ready = async move { caches.synced().await };
    frame::serve(controller, (queues.migrations.clone(), 1), ready, tasks);
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.migrations.read(key) else { return Ok(None) };
        let instance = Key::new(key.namespace.clone(), facts.instance.clone());
        let observed = Observed {
            now: self.context.clock.now(),
            instance_name: facts.instance.clone(),
            instance: self.phase_of(&instance).await?,
            receives: facts.receives,
            migration: facts.migration.clone(),
        };
        let plan = migration::step(&observed);
        for action in &plan.actions {
            match action {
                Action::ChangeStatus(patch) => {
                    let patch = at(patch, &revision);
                    if gone(self.migrations.patch_status(key, &patch).await)? {
                        return Ok(None);
                    }
                }
                Action::Release(patch) => {
                    let patch = at(patch, &revision);
                    if gone(self.migrations.patch(key, &patch).await)? {
                        return Ok(None);
                    }
                }
                Action::Tell(notice) => {
                    let resource = &resources::VIRTUAL_MACHINE_INSTANCE_MIGRATION;
                    frame::tell(&self.recorder, resource, key, &facts.uid, notice);
                }
            }
        }
        Ok(plan.again.map(|again| again.after))
    }
}

impl Controller {
    /// Returns the phase of an instance, if there is one. What ends a migration is asked of the server: the cache of instances
    /// may lag behind that of migrations.
    async fn phase_of(&self, key: &Key) -> Result<Option<String>, ApiError> {
        let phase = |facts: &InstanceFacts| facts.instance.facts.phase().to_owned();
        let known = self.caches.instances.get(key).map(|facts| phase(&facts));
        match known.as_deref() {
            None | Some(phase::SUCCEEDED | phase::FAILED) => {
                let found = self.instances.find(key).await?;
                Ok(found.map(|view| phase(&InstanceFacts::from(view))))
            }
            Some(_) => Ok(known),
        }
    }
}

/// Makes a patch hold for the state that it was made for.
fn at(patch: &Value, revision: &str) -> Patch {
    let mut patch = patch.clone();
    patch["metadata"]["resourceVersion"] = json!(revision);
    Patch::Merge(patch)
}

/// Whether what was to be changed is gone.
fn gone<T>(changed: Result<T, ApiError>) -> Result<bool, ApiError> {
    match changed {
        Ok(_) => Ok(false),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error),
    }
}
