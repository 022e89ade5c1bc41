//! The installation's configuration, followed: how launcher Pods are made from now on.

use api::kubevirt::v1::{KubeVirtConfiguration, KubeVirtSpec};
use kube_ext::{Api, Cache, Context, Meta, Tasks, resources};
use plan::vmi::launcher;
use serde::Deserialize;

/// The KubeVirt object as it is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct View {
    metadata: Meta,
    spec: KubeVirtSpec,
}

kube_ext::view!(View => resources::KUBEVIRT);

/// The configuration. A change counts for Pods that are made after it.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    base: launcher::Config,
    cache: Cache<KubeVirtConfiguration>,
}

impl Installation {
    /// Begins to follow the KubeVirt object; what it leaves open is as in `base`.
    pub(crate) fn watch(context: &Context, base: &launcher::Config, tasks: &mut Tasks) -> Self {
        let project = |view: View| Some(view.spec.configuration);
        let cache = Cache::builder(Api::<View>::new(&context.client), project).start(context, tasks);
        Self { base: base.clone(), cache }
    }

    /// Ends when the configuration is known.
    pub(crate) async fn synced(&self) {
        self.cache.synced().await;
    }

    /// Returns how launcher Pods are made now. An installation has one KubeVirt object; of several the first by name
    /// counts.
    pub(crate) fn launcher(&self) -> launcher::Config {
        let first = self.cache.all().into_iter().next();
        first.map_or_else(|| self.base.clone(), |(_, configuration)| self.base.configured(&configuration))
    }
}
