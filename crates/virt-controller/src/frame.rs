//! What the controllers have in common: keys come from a queue, what was written shows at once, what was deleted is not deleted
//! twice, and news are told.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use kube_ext::{ApiError, Cache, Key, Kind, ObjectRef, Queue, Recorder, Resource, Severity, Tasks, work};
use parking_lot::Mutex;
use plan::Notice;

/// Looks after the objects of one kind.
pub(crate) trait Controller: Send + Sync + 'static {
    /// Looks at an object and does what it needs. Returns when to look again although nothing changed.
    fn reconcile(&self, key: &Key) -> impl Future<Output = Result<Option<Duration>, ApiError>> + Send;
}

/// Has `controller` take keys from `queue`, at most `parallel` at a time, as soon as it is `ready`.
pub(crate) fn serve<C: Controller>(
    controller: C,
    (queue, parallel): (Queue, usize),
    ready: impl Future<Output = ()> + Send + 'static,
    tasks: &mut Tasks,
) {
    tasks.add(async move {
        ready.await;
        let controller = &controller;
        work(queue, parallel, |key: Key| async move { controller.reconcile(&key).await }).await;
    });
}

/// Takes in an object as the server has it, so that the next look does not act on what was before. Returns its revision.
pub(crate) fn observe<K, P>(cache: &Cache<P>, object: K) -> String
where
    K: Kind,
    P: From<K> + PartialEq + Send + Sync + 'static,
{
    let (key, revision) = (object.key(), object.resource_version().to_owned());
    cache.observe(key, &revision, Some(P::from(object)));
    revision
}

/// Takes in an object as it was written, and the revision that plans are true for from now on; one that is gone needs
/// nothing any more.
pub(crate) fn written<K, P>(
    cache: &Cache<P>,
    revision: &mut String,
    written: Result<K, ApiError>,
) -> Result<(), ApiError>
where
    K: Kind,
    P: From<K> + PartialEq + Send + Sync + 'static,
{
    match written {
        Ok(written) => *revision = observe(cache, written),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Tells what happened to an object.
pub(crate) fn tell(recorder: &Recorder, resource: &Resource, key: &Key, uid: &str, notice: &Notice) {
    let object = ObjectRef::new(resource, key.clone(), uid);
    let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
    recorder.record(&object, severity, notice.reason, &notice.message);
}

/// Identities of what was deleted and what no cache shows so yet, per set: nobody else goes in their stead. Lost with the
/// process, whose successor begins with what is so.
#[derive(Default)]
pub(crate) struct Deleted(Mutex<BTreeMap<Key, BTreeSet<String>>>);

impl Deleted {
    /// Remembers a member of `set`.
    pub(crate) fn add(&self, set: &Key, uid: &str) {
        self.0.lock().entry(set.clone()).or_default().insert(uid.to_owned());
    }

    /// Forgets a set.
    pub(crate) fn forget(&self, set: &Key) {
        self.0.lock().remove(set);
    }

    /// Marks those members of `set` that were deleted; `parts` are a member's identity, and whether it is being deleted.
    pub(crate) fn mark<M>(
        &self,
        set: &Key,
        members: &mut [M],
        parts: for<'a> fn(&'a mut M) -> (&'a str, &'a mut bool),
    ) {
        let mut all = self.0.lock();
        let Some(asked) = all.get(set) else { return };
        let mut unseen = BTreeSet::new();
        for (uid, deleting) in members.iter_mut().map(parts) {
            if !*deleting && asked.contains(uid) {
                *deleting = true;
                unseen.insert(uid.to_owned());
            }
        }
        if unseen.is_empty() {
            all.remove(set);
        } else {
            all.insert(set.clone(), unseen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_counts_as_going_until_it_shows() {
        let (deleted, set) = (Deleted::default(), Key::new("default", "web"));
        deleted.add(&set, "a");
        deleted.add(&set, "b");
        let mark = |members: &mut [(String, bool)]| {
            deleted.mark(&set, members, |member| (&member.0, &mut member.1));
        };
        let members = [("a", false), ("b", true), ("c", false)];
        let mut members: Vec<_> = members.map(|(uid, going)| (uid.to_owned(), going)).into();
        mark(&mut members);
        assert_eq!(members.iter().map(|member| member.1).collect::<Vec<_>>(), [true, true, false]);
        members[0].1 = false;
        members.remove(1);
        mark(&mut members);
        assert!(members[0].1, "it is remembered until it shows");
        mark(&mut members);
        members[0].1 = false;
        mark(&mut members);
        assert!(!members[0].1, "it showed, and is forgotten");
    }
}
