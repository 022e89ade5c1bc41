//! Takes keys from a queue and reconciles them, a few at a time.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;

use crate::{ApiError, Queue};

/// Reconciles keys of `queue` with `reconcile`, at most `parallel` at the same time, for ever.
///
/// `reconcile` answers when it wants to see the key again without a change (or not at all). Failures are tried
/// again with the queue's back-off; conflicts, which are part of normal life, quietly.
pub async fn work<T, F, R>(queue: Queue<T>, parallel: usize, reconcile: F)
where
    T: Ord + Clone + Debug,
    F: Fn(T) -> R,
    R: Future<Output = Result<Option<Duration>, ApiError>>,
{
    let mut running = FuturesUnordered::new();
    loop {
        if running.len() >= parallel.max(1) {
            running.next().await;
            continue;
        }
        let key = if running.is_empty() {
            queue.next().await
        } else {
            match select(pin!(queue.next()), running.next()).await {
                Either::Left((key, _)) => key,
                Either::Right(_) => continue,
            }
        };
        let (queue, reconcile) = (&queue, &reconcile);
        running.push(async move {
            let outcome = reconcile(key.clone()).await;
            match outcome {
                Ok(again) => {
                    queue.succeeded(&key);
                    if let Some(delay) = again {
                        queue.add_after(key.clone(), delay);
                    }
                }
                Err(error) => {
                    let wait = queue.retry(key.clone());
                    if error.is_conflict() {
                        tracing::debug!(?key, %error, ?wait, "trying again");
                    } else {
                        tracing::warn!(?key, %error, ?wait, "trying again");
                    }
                }
            }
            queue.done(&key);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;
    use effects::VirtualClock;
    use jiff::Timestamp;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn failures_come_again_and_delays_are_kept() {
        let queue = Queue::new(Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH)));
        let log = Mutex::new(Vec::new());
        queue.add("fails");
        queue.add("waits");
        let start = tokio::time::Instant::now();
        let reconcile = async |key: &'static str| {
            let elapsed = start.elapsed().as_secs();
            let seen = log.lock().iter().any(|(other, _)| *other == key);
            log.lock().push((key, elapsed));
            match key {
                "fails" if !seen => Err(ApiError { operation: String::new(), problem: Problem::Gone }),
                "waits" if !seen => Ok(Some(Duration::from_secs(3))),
                _ => Ok(None),
            }
        };
        let limit = tokio::time::sleep(Duration::from_secs(10));
        select(pin!(work(queue.clone(), 2, reconcile)), pin!(limit)).await;
        assert_eq!(*log.lock(), [("fails", 0), ("waits", 0), ("fails", 0), ("waits", 3)]);
        assert!(queue.is_empty());
    }
}
