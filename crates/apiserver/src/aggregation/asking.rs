//! Asks programs whether they answer: each by itself, so that one which hangs holds nobody up.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::availability::{self, Finding};
use super::remote::Remote;
use super::{Aggregation, services};
use crate::ApiServer;
use crate::cache::ObjectKey;
use crate::peer::target::{Address, Lack};
use crate::registry::Collection;
use crate::resource::storage::{self, CommitError, Intent};

/// Looks after which a program is asked again although nothing changed.
const ASK: u32 = 20;
/// How often a condition is written anew because somebody else wrote the object meanwhile.
const TRIES: u32 = 5;

/// Whom was asked, by name of the object.
#[derive(Debug, Default)]
pub(super) struct Asking(BTreeMap<String, Asked>);

/// A program that was asked.
#[derive(Debug)]
struct Asked {
    remote: Arc<Remote>,
    /// Revisions at which anything changed that leads to programs.
    ways: [u64; 3],
    /// What stood behind its Service then.
    behind: Result<Vec<Address>, Lack>,
    /// Looks since then.
    age: u32,
    asking: AbortOnDropHandle<()>,
}

impl Asking {
    /// Looks at all programs, and asks those that are new, that something else stands behind, or that were asked long ago.
    pub(super) fn look(&mut self, server: &ApiServer, aggregation: &Aggregation) {
        let mut before = std::mem::take(&mut self.0);
        let remotes = aggregation.remotes();
        let ways = if remotes.is_empty() { Default::default() } else { ways(server) };
        for (name, remote) in remotes {
            let mut known = before.remove(&name).filter(|known| Arc::ptr_eq(&known.remote, &remote));
            let fresh = known.take_if(|known| !known.is_due(server, ways));
            let asked = fresh.unwrap_or_else(|| Asked::ask(server, name.clone(), remote, ways));
            self.0.insert(name, asked);
        }
    }
}

impl Asked {
    fn ask(server: &ApiServer, name: String, remote: Arc<Remote>, ways: [u64; 3]) -> Self {
        let behind = remote.behind(server);
        let asking = tokio::spawn(ask(server.clone(), name, Arc::clone(&remote)));
        Self { remote, ways, behind, age: 0, asking: AbortOnDropHandle::new(asking) }
    }

    /// Whether it is to be asked again. Who is still being asked is not: what keeps changing would never be heard.
    fn is_due(&mut self, server: &ApiServer, ways: [u64; 3]) -> bool {
        self.age += 1;
        if !self.asking.is_finished() {
            return false;
        }
        if self.ways != ways && self.remote.behind(server) == self.behind {
            self.ways = ways;
        }
        self.age >= ASK || self.ways != ways
    }
}

/// What leads to programs, by the revisions at which it changed.
fn ways(server: &ApiServer) -> [u64; 3] {
    let kinds = [("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices")];
    kinds.map(|(group, plural)| server.caches().of(&Collection::new(group, plural)).changed())
}

/// Asks a program, serves what it says and writes it down.
async fn ask(server: ApiServer, name: String, remote: Arc<Remote>) {
    let Some(aggregation) = server.aggregation() else { return };
    let (finding, described) = availability::check(&server, aggregation.front(), &remote).await;
    if aggregation.learn(&server, &name, &remote, &finding, described) {
        note(&server, &ObjectKey::new("", &name), &finding).await;
    }
}

/// Writes into an object what was found; says whether it stands there.
pub(super) async fn note(server: &ApiServer, key: &ObjectKey, finding: &Finding) -> bool {
    for _ in 0..TRIES {
        let found = server.object(&services(), key);
        let Some((entry, mut object)) = found.and_then(|entry| Some((entry.clone(), entry.parse().ok()?)))
        else {
            return true;
        };
        if !finding.note(&mut object, &server.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()) {
            return true;
        }
        match storage::commit(server, &services(), key, Some(entry.revision), Intent::Put(&object)).await {
            Ok(_) => return true,
            Err(CommitError::Conflict) => {}
            // It is asked again.
            Err(CommitError::Failed(status)) => {
                tracing::warn!(name = %key.name, %status, "cannot write whether an aggregated API answers");
                return false;
            }
        }
    }
    false
}
