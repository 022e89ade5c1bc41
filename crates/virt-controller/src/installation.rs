//! The installation's own object: its configuration is followed, for it says how launcher Pods are made from now on, and its
//! status tells that the controllers run. Judgement of the latter: [`plan::installation`].

use std::sync::Arc;
use std::time::Duration;

use api::kubevirt::v1::{KubeVirtConfiguration, KubeVirtSpec};
use api::names::{REFERENCE_VERSION, rollout_strategy};
use kube_ext::{Api, ApiError, Cache, Change, Context, Key, Meta, Patch, Queue, Tasks, resources, work};
use plan::bundle;
use plan::installation::{self, Status};
use plan::vm::named::Policy;
use plan::vmi::launcher;
use serde::Deserialize;
use serde_json::json;

use crate::config::Config;

/// The KubeVirt object as it is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct View {
    metadata: Meta,
    spec: KubeVirtSpec,
    status: Status,
}

kube_ext::view!(View => resources::KUBEVIRT);

/// The object as it is kept.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    configuration: KubeVirtConfiguration,
    status: Status,
    generation: Option<i64>,
    deleting: bool,
}

impl From<View> for Facts {
    fn from(view: View) -> Self {
        Self {
            configuration: view.spec.configuration,
            status: view.status,
            generation: view.metadata.generation,
            deleting: view.metadata.is_deleting(),
        }
    }
}

/// The installation. A change of its configuration counts for Pods that are made after it.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    base: launcher::Config,
    cache: Cache<Facts>,
}

impl Installation {
    /// Begins to follow the KubeVirt object; what it leaves open is as in `config`. `treats_otherwise` is told when
    /// machines are to be looked at with other eyes: changes of templates begin, or cease, to reach running instances,
    /// names are treated otherwise, or the common instance types are part of it or not.
    pub(crate) fn watch(
        context: &Context,
        config: &Config,
        treats_otherwise: impl Fn() + Send + Sync + 'static,
        tasks: &mut Tasks,
    ) -> Self {
        let queue: Queue = Queue::new(context.clock.clone());
        let changes = queue.clone();
        let api = Api::<View>::new(&context.client);
        let cache = Cache::builder(api, |view| Some(Facts::from(view)))
            .on_change(move |change: &Change<Facts>| {
                changes.add(change.key().clone());
                let treated = |facts| {
                    let Facts { configuration, deleting, .. }: &Facts = facts;
                    let has_bundle = !deleting && bundle::is_wanted(configuration);
                    (configuration.vm_rollout_strategy.clone(), Policy::of(configuration), has_bundle)
                };
                let sides: Vec<_> = change.sides().map(treated).collect();
                if !matches!(&*sides, [before, after] if before == after) {
                    treats_otherwise();
                }
            })
            .start(context, tasks);
        let installation = Self { base: config.launcher.clone(), cache };
        let (telling, context) = (installation.clone(), context.clone());
        let version = format!("{REFERENCE_VERSION}.0+ironclad.{}", config.launcher_version);
        tasks.add(async move {
            telling.synced().await;
            work(queue, 1, |key| {
                let (telling, context, version) = (&telling, &context, &version);
                async move { telling.tell(context, &key, version).await }
            })
            .await;
        });
        installation
    }

    /// Says on the object that the installation is there.
    async fn tell(&self, context: &Context, key: &Key, version: &str) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.cache.read(key).filter(|(facts, _)| !facts.deleting) else {
            return Ok(None);
        };
        let architecture = self.base.configured(&facts.configuration).architecture;
        let change =
            installation::status(&facts.status, facts.generation, version, &architecture, context.now());
        if let Some(change) = change {
            let patch = json!({"metadata": {"resourceVersion": revision}, "status": change});
            Api::<View>::new(&context.client).patch_status(key, &Patch::Merge(patch)).await?;
        }
        Ok(None)
    }

    /// Ends when the configuration is known.
    pub(crate) async fn synced(&self) {
        self.cache.synced().await;
    }

    /// Returns how launcher Pods are made now. An installation has one KubeVirt object; of several the first by name
    /// counts.
    pub(crate) fn launcher(&self) -> launcher::Config {
        self.facts().map_or_else(|| self.base.clone(), |facts| self.base.configured(&facts.configuration))
    }

    /// Returns the configuration that machines are filled in with.
    pub(crate) fn configuration(&self) -> KubeVirtConfiguration {
        self.facts().map(|facts| facts.configuration.clone()).unwrap_or_default()
    }

    /// Returns what becomes of the names of instance types and preferences.
    pub(crate) fn naming(&self) -> Policy {
        self.facts().map(|facts| Policy::of(&facts.configuration)).unwrap_or_default()
    }

    /// Tells whether the common instance types and preferences are part of it. Without an installation nothing is.
    pub(crate) fn has_bundle(&self) -> bool {
        self.facts().is_some_and(|facts| !facts.deleting && bundle::is_wanted(&facts.configuration))
    }

    /// Tells whether changes of templates reach running instances, as far as they can.
    pub(crate) fn rolls_out_live(&self) -> bool {
        let strategy = self.facts().and_then(|facts| facts.configuration.vm_rollout_strategy.clone());
        strategy.as_deref() != Some(rollout_strategy::STAGE)
    }

    fn facts(&self) -> Option<Arc<Facts>> {
        self.cache.all().into_iter().next().map(|(_, facts)| facts)
    }
}
