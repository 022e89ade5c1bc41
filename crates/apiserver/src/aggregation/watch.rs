//! Keeps `APIService` objects and what is served in step: objects for what this server answers itself, conditions, and the
//! versions that others answer.

use std::sync::Arc;
use std::time::Duration;

use super::asking::{self, Asking};
use super::availability::Finding;
use super::{Aggregation, front, local, services};
use crate::registry::Collection;
use crate::resource::storage::CommitError;
use crate::server::WeakServer;
use crate::{ApiServer, Result};

/// Between two looks whether something changed.
const LOOK: Duration = Duration::from_millis(500);
/// Looks after which what could not be written is written, although nothing changed.
const AGAIN: u32 = 20;

/// Looks after all objects until the server is gone.
pub(crate) async fn run(server: WeakServer) {
    let (mut seen, mut age, mut left) = (None, 0, false);
    let mut asking = Asking::default();
    loop {
        let Some(strong) = server.upgrade() else { return };
        let Some(aggregation) = strong.aggregation() else { return };
        let now = picture(&strong);
        if seen != Some(now) || (left && age >= AGAIN) {
            left = settle(&strong, aggregation, seen.is_none()).await;
            (seen, age) = (Some(now), 0);
        }
        age += 1;
        asking.look(&strong, aggregation);
        let clock = Arc::clone(strong.clock());
        drop(strong);
        clock.sleep(LOOK).await;
    }
}

/// What this server's own objects follow from, by the revisions at which it changed.
fn picture(server: &ApiServer) -> [u64; 3] {
    let definitions = Collection::new("apiextensions.k8s.io", "customresourcedefinitions");
    let (maps, published) = front::place();
    [
        server.caches().of(&services()).changed(),
        server.caches().of(&definitions).changed(),
        server.object(&maps, &published).map_or(0, |entry| entry.revision),
    ]
}

/// Brings everything up to date but for what other programs say; tells whether something is left to be done without
/// another change, because the store refused it. `first` is the first time since the start.
async fn settle(server: &ApiServer, aggregation: &Aggregation, first: bool) -> bool {
    let mut left = false;
    if let Err(status) = aggregation.front().publish(server).await {
        tracing::error!(%status, "cannot publish how this server shows itself to others, will try again");
        left = true;
    }
    if let Err(status) = local::keep(server, first).await {
        tracing::error!(%status, "cannot write the APIServices of this server's own versions, will try again");
        left = true;
    }
    aggregation.read(server);
    for entry in server.caches().of(&services()).snapshot("").0 {
        let local = entry.parse().is_ok_and(|object| !object["spec"]["service"].is_object());
        left |= local && !asking::note(server, &entry.key, &Finding::local()).await;
    }
    left
}

/// Leaves what somebody else wrote meanwhile to the next look.
pub(super) fn unless_somebody_else_wrote<T>(written: Result<T, CommitError>) -> Result<()> {
    match written {
        Err(CommitError::Failed(status)) => Err(status),
        Ok(_) | Err(CommitError::Conflict) => Ok(()),
    }
}
