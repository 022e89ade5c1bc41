//! What the installation's configuration says about every machine: firmware identity, memory statistics.

use api::kubevirt::v1::KubeVirt;
use kube_ext::{Api, Cache, Context, Meta, Tasks, resources};
use model::config::ClusterConfig;
use model::record::SmbiosFacts;
use serde::Deserialize;

/// The part of the configuration that a machine record depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// What the firmware shows where an instance says nothing.
    pub(crate) smbios: SmbiosFacts,
    /// Seconds between memory statistics of the balloon; 0 turns them off.
    pub(crate) balloon_period_seconds: u32,
    /// Whether the serial console of machines that do not say is written down.
    pub(crate) log_serial_console: bool,
    /// When a volume is too small for its disk.
    pub(crate) small_volumes: SmallVolumes,
}

/// When a volume is too small for the disk that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SmallVolumes {
    /// How much less than asked for is good enough, in percent.
    pub(crate) tolerance_percent: u32,
    /// Bytes of a volume that no disk takes.
    pub(crate) reserve_bytes: u64,
}

impl SmallVolumes {
    fn of(kubevirt: &KubeVirt) -> Self {
        let developer = kubevirt.spec.configuration.developer_configuration.as_ref();
        let tolerance = developer.and_then(|own| own.pvc_tolerate_less_space_up_to_percent);
        let reserve = developer.and_then(|own| own.minimum_reserve_pvc_bytes);
        Self {
            tolerance_percent: tolerance.and_then(|percent| u32::try_from(percent).ok()).unwrap_or(10),
            reserve_bytes: reserve.unwrap_or(128 << 10),
        }
    }
}

impl Defaults {
    fn of(kubevirt: &KubeVirt) -> Self {
        let config = ClusterConfig::new(kubevirt);
        Self {
            smbios: config.smbios,
            balloon_period_seconds: config.balloon_period_seconds,
            log_serial_console: config.log_serial_console,
            small_volumes: SmallVolumes::of(kubevirt),
        }
    }
}

/// The KubeVirt object as it is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct View {
    metadata: Meta,
    spec: api::kubevirt::v1::KubeVirtSpec,
}

kube_ext::view!(View => resources::KUBEVIRT);

/// The configuration, followed. A change counts for machines that start after it.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    cache: Cache<Defaults>,
}

impl Installation {
    /// Begins to follow the KubeVirt object.
    pub(crate) fn watch(context: &Context, tasks: &mut Tasks) -> Self {
        let project = |view: View| Some(Defaults::of(&KubeVirt { spec: view.spec, ..KubeVirt::default() }));
        Self { cache: Cache::builder(Api::<View>::new(&context.client), project).start(context, tasks) }
    }

    /// Ends when the configuration is known.
    pub(crate) fn synced(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cache.synced()
    }

    /// Returns the configuration. An installation has one KubeVirt object; of several the first by name counts, of
    /// none the defaults.
    pub(crate) fn defaults(&self) -> Defaults {
        let first = self.cache.all().into_iter().next();
        first.map_or_else(|| Defaults::of(&KubeVirt::default()), |(_, defaults)| Defaults::clone(&defaults))
    }
}
