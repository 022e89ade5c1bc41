//! Lists a resource once and then follows it, through every kind of interruption.
//!
//! ```text
//!            +--- 410, or not reached for several tries ----+
//!            v                                              |
//!   list (pages) --> watch from the list's revision --> events, bookmarks
//!            ^  failed: wait      ^        closed, broken, silent |
//!            +---- back-off ------+-------------------------------+
//! ```
//!
//! After an interruption the watch goes on from the last revision that was seen, so nothing is listed twice
//! without need. A server that has not reached that revision may only lag; one that does not reach it in [`AHEAD`] tries
//! was put back to an older state, whose revisions begin below.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use effects::Clock;
use futures::StreamExt;
use futures::future::{Either, select};
use http::Request;
use kube::core::WatchEvent;

use crate::api::encode;
use crate::{Api, ApiError, Kind, Problem, Select};

/// Objects per page of a list: bounds what a restart holds at once.
const PAGE: u32 = 500;
/// How long the server keeps a watch open before it closes it in good order.
const WATCH_SECONDS: u32 = 290;
/// How long a watch may be silent before its connection counts as dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// How many times in a row a server may say that it has not reached a revision before the list begins anew.
const AHEAD: u32 = 4;

/// What a follower learns.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<K> {
    /// The server's revisions began anew, below those that were told: they cannot be compared with what comes.
    Rewound,
    /// A list begins; objects not listed before [`Event::Listed`] ends it are gone.
    Restarted,
    /// An object of the list.
    Found(K),
    /// The list is complete and shows this revision.
    Listed(String),
    /// An object was created or changed.
    Applied(K),
    /// An object was removed; this is its last state.
    Removed(K),
    /// Everything up to this revision has been told.
    Progress(String),
}

/// Follows all objects that `select` matches and tells `sink` about them, for ever.
pub async fn follow<K: Kind>(
    api: &Api<K>,
    select: &Select,
    clock: &dyn Clock,
    mut sink: impl FnMut(Event<K>),
) -> Infallible {
    let mut revision: Option<String> = None;
    let mut wait = BACKOFF.0;
    let mut ahead = 0;
    loop {
        let outcome = match &mut revision {
            None => relist(api, select, &mut sink).await.map(|listed| revision = Some(listed)),
            Some(current) => watch(api, select, clock, current, &mut wait, &mut sink).await,
        };
        ahead = match &outcome {
            Err(error) if error.is_ahead() => ahead + 1,
            _ => 0,
        };
        match outcome {
            Ok(()) => {}
            Err(error) if ahead >= AHEAD => {
                tracing::warn!(resource = %api.resource().plural, %error, "the server went back, listing again");
                sink(Event::Rewound);
                (revision, ahead) = (None, 0);
            }
            Err(error) if error.is_gone() => {
                tracing::debug!(resource = %api.resource().plural, "the watched revision is gone, listing again");
                revision = None;
            }
            Err(error) => {
                tracing::warn!(resource = %api.resource().plural, %error, retry_in = ?wait, "cannot follow");
                clock.sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }
}

async fn relist<K: Kind>(
    api: &Api<K>,
    select: &Select,
    sink: &mut impl FnMut(Event<K>),
) -> Result<String, ApiError> {
    sink(Event::Restarted);
    let mut token = String::new();
    loop {
        let page = api.page(select, PAGE, &token).await?;
        for object in page.items {
            sink(Event::Found(object));
        }
        if page.metadata.continue_token.is_empty() {
            sink(Event::Listed(page.metadata.resource_version.clone()));
            return Ok(page.metadata.resource_version);
        }
        token = page.metadata.continue_token;
    }
}

/// Watches until the connection ends. `revision` keeps up with what was told; `wait` is reset by success.
async fn watch<K: Kind>(
    api: &Api<K>,
    select: &Select,
    clock: &dyn Clock,
    revision: &mut String,
    wait: &mut Duration,
    sink: &mut impl FnMut(Event<K>),
) -> Result<(), ApiError> {
    let broken = |error| api.error("watch", "", error);
    let request = Request::get(watch_url(api, select, revision))
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| broken(kube::Error::HttpError(error)))?;
    let mut events = pin!(api.client().request_events::<K>(request).await.map_err(broken)?);
    let mut told = false;
    loop {
        let event = match select_next(&mut events, clock).await {
            Some(Some(event)) => event.map_err(broken)?,
            // Closed in good order or silent for too long: go on from where we are. A server that closes
            // at once, every time, must not be asked in a tight loop.
            Some(None) if !told => {
                clock.sleep(BACKOFF.0).await;
                return Ok(());
            }
            Some(None) | None => return Ok(()),
        };
        told = true;
        *wait = BACKOFF.0;
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                object.resource_version().clone_into(revision);
                sink(Event::Applied(object));
            }
            WatchEvent::Deleted(object) => {
                object.resource_version().clone_into(revision);
                sink(Event::Removed(object));
            }
            WatchEvent::Bookmark(bookmark) => {
                revision.clone_from(&bookmark.metadata.resource_version);
                sink(Event::Progress(bookmark.metadata.resource_version));
            }
            WatchEvent::Error(status) => {
                return Err(ApiError {
                    operation: format!("watch {}", api.resource().plural),
                    problem: Problem::from(*status),
                });
            }
        }
    }
}

/// Returns the next item, `Some(None)` at the end, or `None` after [`SILENCE`].
async fn select_next<S: futures::Stream + Unpin>(
    stream: &mut S,
    clock: &dyn Clock,
) -> Option<Option<S::Item>> {
    match select(stream.next(), pin!(clock.sleep(SILENCE))).await {
        Either::Left((item, _)) => Some(item),
        Either::Right(((), _)) => None,
    }
}

fn watch_url<K: Kind>(api: &Api<K>, select: &Select, revision: &str) -> String {
    let mut query = select.query();
    query.push(("watch", "1".to_owned()));
    query.push(("allowWatchBookmarks", "true".to_owned()));
    query.push(("timeoutSeconds", WATCH_SECONDS.to_string()));
    query.push(("resourceVersion", revision.to_owned()));
    format!("{}?{}", api.resource().path(&select.namespace), encode(&query))
}
