//! Machines that a pool holds by its finalizer, and that may go. Judgement: [`plan::pool::leave`].

use std::time::Duration;

use api::names::finalizer;
use kube_ext::{Api, ApiError, Context, Key, Patch, Tasks};
use serde_json::json;

use crate::caches::{Caches, MachineView, PoolFacts, PoolView, Queues};
use crate::config::Config;
use crate::frame;

struct Controller {
    context: Context,
    caches: Caches,
    pools: Api<PoolView>,
    machines: Api<MachineView>,
}

/// Adds the controller to `tasks`.
pub(super) fn start(context: &Context, config: &Config, caches: &Caches, queues: &Queues, tasks: &mut Tasks) {
    let controller = Controller {
        context: context.clone(),
        caches: caches.clone(),
        pools: Api::new(&context.client),
        machines: Api::new(&context.client),
    };
    frame::serve(controller, (queues.held.clone(), config.parallel), super::ready(caches), tasks);
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.machines.read(key) else { return Ok(None) };
        if !facts.is_held() {
            return Ok(None);
        }
        let pool = match facts.pool() {
            Some((name, uid)) => {
                self.pool(&Key::new(key.namespace.clone(), name), uid, facts.vm.deleting).await?
            }
            None => None,
        };
        let pool = pool.as_ref().map(|facts| &facts.pool);
        let Some(farewell) = plan::pool::leave(facts.vm.deleting, pool) else { return Ok(None) };
        if farewell.keeps_disks {
            super::disks::keep(&self.context.client, &key.namespace, &facts.vm.uid).await?;
        }
        let left: Vec<_> = facts.vm.finalizers.iter().filter(|name| *name != finalizer::POOL).collect();
        let patch = json!({"metadata": {"resourceVersion": revision, "finalizers": left}});
        match self.machines.patch(key, &Patch::Merge(patch)).await {
            // The watch shows it: the machine may be gone with this.
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(None),
        }
    }
}

impl Controller {
    /// Returns the pool of this name and identity. The server is asked for what cannot be taken back: the cache of pools may
    /// lag behind that of machines, and a machine that goes may take its disks along by a policy of before.
    async fn pool(&self, key: &Key, uid: &str, going: bool) -> Result<Option<PoolFacts>, ApiError> {
        let known = self.caches.pools.get(key).filter(|known| !going && known.pool.uid == uid);
        if let Some(known) = known {
            return Ok(Some(PoolFacts::clone(&known)));
        }
        match self.pools.get(key).await {
            Ok(found) => Ok(Some(PoolFacts::from(found)).filter(|found| found.pool.uid == uid)),
            // That nobody serves the kind, for a moment, does not say that the pool is gone.
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
