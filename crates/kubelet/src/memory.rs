//! Looks whether the machine's memory runs short, which the Node tells: nothing more is placed on it then.
//!
//! What runs stays: a machine is never ended to make room for others. Whom the kernel kills when all memory is gone is its
//! choice, and told like any other end.

use std::time::Duration;

use host::Root;
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, Context, Key, Kind as _, ObjectRef, Recorder, Severity, resources};

use crate::node::Pressure;

/// Bytes that must be available, as Kubernetes' agent has it.
const LEAST: u64 = 100 << 20;
/// How long there must have been enough before that is believed, likewise.
const CALM: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// When memory was last seen short, by [`effects::Clock::elapsed`].
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    last_short: Option<Duration>,
}

impl Watch {
    /// Takes in a look; returns whether the node is short of memory.
    fn see(&mut self, available: u64, now: Duration) -> bool {
        if available < LEAST {
            self.last_short = Some(now);
        }
        self.last_short = self.last_short.filter(|last| now.saturating_sub(*last) < CALM);
        self.last_short.is_some()
    }
}

/// Looks after the memory of the node `node`, for ever.
pub(crate) async fn keep_watch(node: &str, pressure: &Pressure, recorder: &Recorder, context: &Context) {
    let mut watch = Watch::default();
    loop {
        // Where the kernel does not tell, nothing is known to be short.
        if let Some(available) = host::cgroup::available(&Root::default()) {
            let short = watch.see(available, context.clock.elapsed());
            let news = pressure.set_memory(short.then(|| {
                format!(
                    "less than {} MiB of memory were available within the last {} minutes: end machines on this node, or \
                     give them less memory",
                    LEAST >> 20,
                    CALM.as_secs() / 60
                )
            }));
            if news {
                tracing::warn!(node, short, available, "the node's memory");
                tell(node, short, recorder, context).await;
            }
        }
        context.clock.sleep(LOOK).await;
    }
}

async fn tell(node: &str, short: bool, recorder: &Recorder, context: &Context) {
    let key = Key::cluster(node);
    // Without the node there is nobody to tell about it.
    let Ok(object) = Api::<Node>::new(&context.client).get(&key).await else { return };
    let object = ObjectRef::new(&resources::NODE, key, object.uid());
    let (severity, reason) = if short {
        (Severity::Warning, "NodeHasInsufficientMemory")
    } else {
        (Severity::Normal, "NodeHasSufficientMemory")
    };
    recorder.record(&object, severity, reason, &format!("Node {node} status is now: {reason}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calm_is_believed_after_a_while() {
        let mut watch = Watch::default();
        let looks = [(0, 200, false), (10, 99, true), (20, 500, true), (309, 500, true), (310, 500, false)];
        for (second, mebibytes, short) in looks {
            assert_eq!(watch.see(mebibytes << 20, Duration::from_secs(second)), short, "at {second} s");
        }
        assert!(watch.see(0, Duration::from_secs(320)));
    }
}
