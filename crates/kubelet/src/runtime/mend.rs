//! Keeps the network of Pods whole, whatever others do to the host's.

use std::sync::PoisonError;
use std::time::Duration;

use effects::Clock;

use super::Jails;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

impl Jails {
    /// Looks for ever after what all Pods share, and their links.
    pub(crate) async fn keep_network(&self, clock: &dyn Clock) {
        loop {
            clock.sleep(LOOK).await;
            let looked = self
                .blocking(|inner| {
                    Ok(inner.network.mend(|pod| {
                        let processes = inner.processes.lock().unwrap_or_else(PoisonError::into_inner);
                        // Its first process keeps the Pod's namespace; one that ends takes it along.
                        let process = processes.get(pod).filter(|process| !process.wait(Duration::ZERO));
                        process.map(|process| process.pid())
                    }))
                })
                .await;
            match looked {
                Ok(Ok(missing)) if missing.is_empty() => {}
                Ok(Ok(missing)) => {
                    let missing = missing.join(", ");
                    tracing::warn!(
                        "somebody removed a part of the Pods' network, which is made again: {missing}"
                    );
                }
                Ok(Err(error)) => tracing::warn!(%error, "cannot make the Pods' network whole again"),
                Err(error) => tracing::warn!(%error, "cannot look after the Pods' network"),
            }
        }
    }
}
