//! Tells users what happened to an object, by Events.
//!
//! Recording never waits and never fails the work it reports on. The same happening is counted, not repeated, and one
//! object has only so many for a reason ([`crate::allowance`]).
//! Warnings are written at once; good news may wait a moment, so that the start of a machine does not compete with
//! the news about it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

use crate::allowance::Allowances;
use crate::{Api, ApiError, Context, Key, Patch, Problem, Resource, Tasks};

/// How long good news may wait.
const NORMAL_DELAY: Duration = Duration::from_secs(2);
/// How often the count of a repeated happening is written at most.
const REPEAT_DELAY: Duration = Duration::from_secs(30);
/// How many written Events are remembered for counting on.
const REMEMBERED: usize = 512;
/// How many happenings may wait to be written; the newest beyond are dropped.
const PENDING: usize = 4096;
/// How often writing an Event is tried.
const TRIES: u32 = 4;
/// Longest message the API accepts.
const MESSAGE_LIMIT: usize = 1024;

/// How good the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Part of normal life.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

impl Severity {
    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Names the object that an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace and name.
    pub key: Key,
    /// Identity.
    pub uid: String,
}

impl ObjectRef {
    /// Names an object of `resource`.
    pub fn new(resource: &Resource, key: Key, uid: impl Into<String>) -> Self {
        Self { api_version: resource.api_version(), kind: resource.kind.to_string(), key, uid: uid.into() }
    }
}

/// Records Events in the name of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    context: Context,
    component: String,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    pending: BTreeMap<Happening, Pending>,
    written: BTreeMap<Happening, Written>,
    /// Keys of `written`, oldest first.
    order: VecDeque<Happening>,
    allowances: Allowances,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Happening {
    object: ObjectRef,
    severity: Severity,
    reason: String,
    message: String,
}

struct Pending {
    count: i32,
    first: Timestamp,
    last: Timestamp,
    /// When to write it, by [`effects::Clock::elapsed`].
    due: Duration,
    tries: u32,
}

struct Written {
    name: String,
    count: i32,
}

impl Recorder {
    /// Creates a recorder and adds its writer to `tasks`.
    pub fn start(context: &Context, component: impl Into<String>, tasks: &mut Tasks) -> Self {
        let recorder = Self {
            shared: Arc::new(Shared {
                context: context.clone(),
                component: component.into(),
                state: Mutex::default(),
                wake: Notify::new(),
            }),
        };
        let shared = Arc::clone(&recorder.shared);
        tasks.add(async move { shared.write_for_ever().await });
        recorder
    }

    /// Records that something happened to `object`. `reason` is one word in CamelCase.
    pub fn record(&self, object: &ObjectRef, severity: Severity, reason: &str, message: &str) {
        let now = self.shared.context.now();
        let mut message = message.to_owned();
        if message.len() > MESSAGE_LIMIT {
            let cut = (0..=MESSAGE_LIMIT).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(cut);
        }
        let happening = Happening { object: object.clone(), severity, reason: reason.to_owned(), message };
        let mut state = self.shared.state.lock();
        let repeated = state.written.contains_key(&happening);
        if let Some(pending) = state.pending.get_mut(&happening) {
            pending.count += 1;
            pending.last = now;
            return;
        }
        if state.pending.len() >= PENDING {
            tracing::debug!(reason, "too many Events wait to be written, dropping one");
            return;
        }
        let elapsed = self.shared.context.clock.elapsed();
        if !state.allowances.take(object, reason, elapsed) {
            tracing::debug!(reason, "too many Events of one object, dropping one");
            return;
        }
        let delay = match (repeated, severity) {
            (true, _) => REPEAT_DELAY,
            (false, Severity::Normal) => NORMAL_DELAY,
            (false, Severity::Warning) => Duration::ZERO,
        };
        let due = elapsed.saturating_add(delay);
        state.pending.insert(happening, Pending { count: 1, first: now, last: now, due, tries: 0 });
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Shared {
    async fn write_for_ever(&self) {
        let api = Api::<Event>::new(&self.context.client);
        loop {
            let now = self.context.clock.elapsed();
            let (due, next) = {
                let mut state = self.state.lock();
                let due = state.pending.iter().find(|(_, pending)| pending.due <= now);
                let due = due.map(|(happening, _)| happening.clone());
                let due = due.and_then(|happening| state.pending.remove_entry(&happening));
                (due, state.pending.values().map(|pending| pending.due).min())
            };
            if let Some((happening, pending)) = due {
                self.write(&api, happening, pending).await;
                continue;
            }
            let woken = self.wake.notified();
            match next {
                None => woken.await,
                Some(at) => {
                    let left = at.saturating_sub(now);
                    let sleep = self.context.clock.sleep(left + Duration::from_millis(1));
                    match select(pin!(woken), pin!(sleep)).await {
                        Either::Left(_) | Either::Right(_) => {}
                    }
                }
            }
        }
    }

    async fn write(&self, api: &Api<Event>, happening: Happening, mut pending: Pending) {
        match self.try_write(api, &happening, &pending).await {
            Ok(()) => {}
            Err(ApiError {
                problem: Problem::Transport(_) | Problem::Busy(_) | Problem::Server { .. },
                ..
            }) if pending.tries < TRIES => {
                pending.tries += 1;
                let wait = Duration::from_secs(1 << pending.tries);
                pending.due = self.context.clock.elapsed().saturating_add(wait);
                self.state.lock().pending.entry(happening).or_insert(pending);
            }
            Err(error) => tracing::debug!(%error, reason = happening.reason, "Event not written"),
        }
    }

    async fn try_write(
        &self,
        api: &Api<Event>,
        happening: &Happening,
        pending: &Pending,
    ) -> Result<(), ApiError> {
        let object = &happening.object;
        let namespace = if object.key.namespace.is_empty() { "default" } else { &object.key.namespace };
        let known = self.state.lock().written.get(happening).map(|known| (known.name.clone(), known.count));
        if let Some((name, count)) = known {
            let count = count.saturating_add(pending.count);
            let patch = Patch::Merge(json!({"count": count, "lastTimestamp": second(pending.last)}));
            match api.patch(&Key::new(namespace, &name), &patch).await {
                Ok(_) => {
                    self.remember(happening, name, count);
                    return Ok(());
                }
                // The server forgets Events after a while; then this is a first time again.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let mut unique = [0u8; 8];
        self.context.entropy.fill(&mut unique);
        let name = format!("{}.{:016x}", object.key.name, u64::from_be_bytes(unique));
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": object.api_version,
                "kind": object.kind,
                "name": object.key.name,
                "namespace": object.key.namespace,
                "uid": object.uid,
            },
            "type": happening.severity.as_str(),
            "reason": happening.reason,
            "message": happening.message,
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "reportingInstance": "",
            "firstTimestamp": second(pending.first),
            "lastTimestamp": second(pending.last),
            "count": pending.count,
        });
        api.create(namespace, &event).await?;
        self.remember(happening, name, pending.count);
        Ok(())
    }

    fn remember(&self, happening: &Happening, name: String, count: i32) {
        let mut state = self.state.lock();
        if state.written.insert(happening.clone(), Written { name, count }).is_none() {
            state.order.push_back(happening.clone());
        }
        while state.order.len() > REMEMBERED {
            if let Some(oldest) = state.order.pop_front() {
                state.written.remove(&oldest);
            }
        }
    }
}

/// Times of Events have whole seconds.
fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("component", &self.shared.component).finish_non_exhaustive()
    }
}
