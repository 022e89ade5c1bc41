//! All that a component does at the same time, as one future.

use std::future::Future;
use std::pin::{Pin, pin};

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;

/// A set of futures that run together and end together.
///
/// Structured instead of spawned: the component is one future, so its runner chooses the runtime, a simulation can
/// poll everything on one thread in the same order each time, and dropping the component leaves nothing behind.
#[derive(Default)]
pub struct Tasks {
    tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Tasks {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task.
    pub fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }

    /// Runs all tasks until each has ended or `shutdown` ends, whichever is first.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut running: FuturesUnordered<_> = self.tasks.into_iter().collect();
        let all = pin!(async { while running.next().await.is_some() {} });
        match select(pin!(shutdown), all).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("tasks", &self.tasks.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn shutdown_ends_everything() {
        let ended = Arc::new(AtomicU32::new(0));
        let mut tasks = Tasks::new();
        for _ in 0..3 {
            let ended = Ended(ended.clone());
            tasks.add(async move {
                let _ended = ended;
                std::future::pending::<()>().await;
            });
        }
        tasks.run(std::future::ready(())).await;
        assert_eq!(ended.load(Ordering::Relaxed), 3);
    }

    struct Ended(Arc<AtomicU32>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
