//! What a component gets from outside.

use std::sync::Arc;

use effects::{Clock, Entropy};
use jiff::Timestamp;
use kube::Client;

/// The world as a component sees it: an API server, the time, randomness. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Client with the component's own identity.
    pub client: Client,
    /// The only source of time.
    pub clock: Arc<dyn Clock>,
    /// The only source of randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Context {
    /// Joins a client and the effects.
    pub fn new(client: Client, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { client, clock, entropy }
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("clock", &self.clock)
            .field("entropy", &self.entropy)
            .finish_non_exhaustive()
    }
}
