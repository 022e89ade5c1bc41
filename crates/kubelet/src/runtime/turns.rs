//! Turns: how much of one kind of work goes on at the same time on a node, and how much of it for one namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::dial::Unreached;

/// How long one waits for a turn: less than the shortest time limit of a probe, so that who gets none says so itself.
const PATIENCE: Duration = Duration::from_millis(500);

/// The turns of a node. A namespace has a quarter of them at most: whose work hangs keeps only its own waiting.
#[derive(Debug)]
pub(super) struct Turns {
    what: &'static str,
    share: usize,
    node: Arc<Semaphore>,
    namespaces: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _namespace: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

impl Turns {
    /// `count` turns at doing `what`.
    pub(super) fn new(what: &'static str, count: usize) -> Self {
        let node = Arc::new(Semaphore::new(count));
        Self { what, share: count.div_ceil(4), node, namespaces: Mutex::default() }
    }

    /// Waits a moment for a turn of `namespace`.
    ///
    /// # Errors
    /// [`Unreached::Untried`] when there is none: it says nothing about the Pod.
    pub(super) async fn take(&self, namespace: &str) -> Result<Turn, Unreached> {
        let own = self.of(namespace);
        let turn = async {
            // Nobody closes them.
            let namespace = own.acquire_owned().await.ok()?;
            Some(Turn { _namespace: namespace, _node: Arc::clone(&self.node).acquire_owned().await.ok()? })
        };
        let turn = tokio::time::timeout(PATIENCE, turn).await.ok().flatten();
        turn.ok_or_else(|| Unreached::Untried(format!("too many {} are under way on this node", self.what)))
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = namespaces.get(namespace).and_then(Weak::upgrade) {
            return turns;
        }
        namespaces.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.share));
        namespaces.insert(namespace.to_owned(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whose_work_hangs_keeps_nobody_else_waiting() {
        let turns = Turns::new("connections", 8);
        let hanging = [turns.take("hostile").await.unwrap(), turns.take("hostile").await.unwrap()];
        let full = Unreached::Untried("too many connections are under way on this node".into());
        assert_eq!(turns.take("hostile").await.err(), Some(full));
        let others = turns.take("other").await.expect("others have their own share");
        drop(hanging);
        assert!(turns.take("hostile").await.is_ok());
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_turn_that_ends() {
        let turns = Turns::new("connections", 4);
        let turn = turns.take("busy").await.unwrap();
        let ends = async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(turn);
        };
        let (next, ()) = tokio::join!(turns.take("busy"), ends);
        assert!(next.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn all_namespaces_together_have_the_nodes_turns() {
        let turns = Turns::new("look-ups", 4);
        let mut taken = Vec::new();
        for namespace in ["a", "b", "c", "d"] {
            taken.push(turns.take(namespace).await.unwrap());
        }
        assert!(turns.take("e").await.is_err());
        assert_eq!(turns.namespaces.lock().unwrap().len(), 5);
        taken.clear();
        drop(turns.take("f").await.unwrap());
        assert_eq!(turns.namespaces.lock().unwrap().len(), 1, "nothing is kept of those without a turn");
    }
}
