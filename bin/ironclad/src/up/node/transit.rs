//! Keeps what connects several nodes of this machine whole.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use effects::Clock;
use network::nodes::{NodesConfig, Transit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often somebody else's removal is looked for; the nodes look after their own networks as often.
const LOOK: Duration = Duration::from_secs(10);

/// Looks until `stop`, and makes again what is missing.
pub(super) fn keep(
    shared: NodesConfig,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: &mut JoinSet<Result<()>>,
) {
    tasks.spawn(async move {
        let work = async {
            let transit =
                blocking(|| Transit::of(shared)).await?.context("finding what connects the nodes")?;
            let transit = Arc::new(transit);
            loop {
                clock.sleep(LOOK).await;
                let looking = Arc::clone(&transit);
                match blocking(move || looking.mend()).await? {
                    Ok(missing) if missing.is_empty() => {}
                    Ok(missing) => {
                        tracing::warn!(
                            missing = missing.join(", "),
                            "somebody removed what connects the nodes; made again"
                        );
                    }
                    Err(error) => tracing::error!(%error, "what connects the nodes is not whole"),
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            ended = work => ended,
        }
    });
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a look at the network broke off")
}
