//! Priority and fairness: no client takes the server from the others.
//!
//! Every request belongs to a FlowSchema ([`schema`]) and by that to a priority level ([`level`]), which has a number of seats
//! ([`shares`]) and queues ([`queues`]) for those who find none. How many seats a request needs says [`width`]. Objects,
//! names and figures are those of Kubernetes' API priority and fairness, [`keep`] keeps them.
//!
//! A request has its seats until its answer has been sent; a stream (watch, log, upgrade) until it begins. The components
//! of this process are never held up: all else depends on them.

mod counts;
mod demand;
mod keep;
mod level;
mod objects;
mod queues;
mod schema;
mod shares;
mod width;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use effects::Clock;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use machinery::admission::UserInfo;
use parking_lot::RwLock;

use self::counts::{Class, Counts};
use self::level::{Level, Plan, Seat};
use self::schema::{CATCH_ALL, EXEMPT, Schema};
use self::shares::{Bounds, Need};
use crate::cache::Caches;
use crate::registry::Collection;
use crate::request::RequestInfo;
use crate::{ApiServer, Body, body};

pub(crate) use keep::{run, settle};
pub(crate) use objects::fixed_spec;

pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
pub(crate) const LEVELS: &str = "prioritylevelconfigurations";
pub(crate) const SCHEMAS: &str = "flowschemas";

const SCHEMA_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Time that a request waits for a seat at most: a quarter of the time that it has.
const PATIENCE: Duration = Duration::from_secs(15);

/// Marks requests of the components of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnComponent;

/// Priority and fairness of one server.
#[derive(Debug)]
pub(crate) struct Flow {
    clock: Arc<dyn Clock>,
    /// Seats of the whole server.
    total: u32,
    rules: RwLock<Arc<Rules>>,
    counts: Arc<Counts>,
}

/// What all objects together say.
#[derive(Debug, Default)]
struct Rules {
    /// What [`changed`] said of the objects.
    changed: Option<[u64; 2]>,
    /// In the order in which they are asked.
    schemas: Vec<Schema>,
    levels: BTreeMap<Box<str>, Arc<Level>>,
}

/// A request that may run, until this is dropped.
#[derive(Debug)]
pub(crate) struct Pass(Option<Running>);

#[derive(Debug)]
struct Running {
    uids: [Option<HeaderValue>; 2],
    held: Held,
}

/// The seats of a request, for as long as somebody holds this.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    _taken: Arc<Taken>,
}

#[derive(Debug)]
struct Taken {
    _seat: Seat,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    class: Class,
    seats: u32,
    began: Duration,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.counts.ended(&self.class, self.seats, self.clock.elapsed().saturating_sub(self.began));
    }
}

impl Rules {
    /// Which schema a request belongs to. Where none is for it, the last resort is.
    fn find(&self, user: &UserInfo, info: &RequestInfo, own: bool) -> Option<&Schema> {
        let named = |name: &str| self.schemas.iter().find(|schema| *schema.name == *name);
        if own {
            return named(EXEMPT);
        }
        self.schemas.iter().find(|schema| schema.matches(user, info)).or_else(|| named(CATCH_ALL))
    }
}

impl Flow {
    pub(crate) fn new(clock: Arc<dyn Clock>, total: u32) -> Self {
        Self { clock, total, rules: RwLock::default(), counts: Arc::default() }
    }

    /// Returns the rules of what is applied now.
    fn current(&self, caches: &Caches) -> Arc<Rules> {
        // Read before the objects: a change in between makes the next caller read again.
        let changed = Some(changed(caches));
        let rules = Arc::clone(&self.rules.read());
        if rules.changed == changed {
            return rules;
        }
        let mut rules = self.rules.write();
        if rules.changed != changed {
            *rules = Arc::new(self.read(caches, changed, &rules));
        }
        Arc::clone(&rules)
    }

    fn read(&self, caches: &Caches, changed: Option<[u64; 2]>, before: &Rules) -> Rules {
        let objects = |plural: &str| {
            let (entries, _) = caches.of(&Collection::new(GROUP, plural)).snapshot("");
            entries.into_iter().filter_map(|entry| entry.parse().ok())
        };
        let plans: Vec<Plan> = objects(LEVELS).filter_map(|object| Plan::read(&object)).collect();
        let shares: Vec<_> = plans.iter().map(|plan| plan.shares).collect();
        let bounds = shares::divide(self.total, &shares);
        let level = |(plan, bounds): (Plan, Bounds)| {
            let name = plan.name.clone();
            match before.levels.get(&name) {
                Some(level) => {
                    level.replan(plan, bounds);
                    (name, Arc::clone(level))
                }
                None => (name, Level::new(Arc::clone(&self.clock), plan, bounds)),
            }
        };
        let levels: BTreeMap<_, _> = plans.into_iter().zip(bounds).map(level).collect();
        let schemas = objects(SCHEMAS).filter_map(|object| Schema::read(&object));
        let mut schemas: Vec<Schema> = schemas.filter(|schema| levels.contains_key(schema.level())).collect();
        schemas.sort_by(|a, b| a.rank().cmp(&b.rank()));
        Rules { changed, schemas, levels }
    }

    /// Gives out seats again, by what levels needed lately.
    fn adjust(&self) {
        let rules = Arc::clone(&self.rules.read());
        rules.levels.values().for_each(|level| level.close_period());
        let mut left: u32 = rules.levels.values().map(|level| level.figures().bounds.nominal).sum();
        let (mut needs, mut limited) = (Vec::new(), Vec::new());
        for level in rules.levels.values() {
            let figures = level.figures();
            let (high, bounds) = (figures.period.high as u32, figures.bounds);
            if figures.exempt {
                let taken = bounds.lower.max(high);
                level.set_limit(taken);
                left = left.saturating_sub(taken);
            } else {
                // What it has just needed of its own it keeps.
                let lower = bounds.lower.max(high.min(bounds.nominal));
                let target = figures.period.smoothed.max(f64::from(lower));
                needs.push(Need { lower, upper: bounds.upper, target });
                limited.push(level);
            }
        }
        for (level, seats) in limited.into_iter().zip(shares::allot(left, &needs)) {
            level.set_limit(seats);
        }
    }

    /// Lets a request in, once there are seats for it.
    ///
    /// # Errors
    /// Returns the answer for a request that has to come again later.
    pub(crate) async fn enter(
        &self,
        server: &ApiServer,
        user: &UserInfo,
        parts: &Parts,
        info: &RequestInfo,
    ) -> Result<Pass, Response<Body>> {
        if is_stream(info) {
            return Ok(Pass(None));
        }
        let rules = self.current(server.caches());
        let own = parts.extensions.get::<OwnComponent>().is_some();
        let found = rules.find(user, info, own);
        // Only in the first moments of a new server, before its objects are made.
        let Some(schema) = found else { return Ok(Pass(None)) };
        let Some(level) = rules.levels.get(schema.level()) else { return Ok(Pass(None)) };
        let uids = [HeaderValue::from_str(&schema.uid).ok(), HeaderValue::from_str(&level.uid()).ok()];
        let class: Class = (schema.name.clone(), schema.level().into());
        let seats = width::seats(server, info, parts.uri.query().unwrap_or_default(), level.widest());
        self.counts.arrived(&class, seats);
        let flow = if own { 0 } else { schema.flow(user, info) };
        let came = self.clock.elapsed();
        let entered = level.enter(flow, seats, PATIENCE, || self.counts.waits(&class, seats)).await;
        let began = self.clock.elapsed();
        self.counts.waited(&class, began.saturating_sub(came), entered.as_ref().err().copied());
        match entered {
            Ok(seat) => {
                self.counts.began(&class, seats);
                let (clock, counts) = (Arc::clone(&self.clock), Arc::clone(&self.counts));
                let taken = Taken { _seat: seat, clock, counts, class, seats, began };
                Ok(Pass(Some(Running { uids, held: Held { _taken: Arc::new(taken) } })))
            }
            Err(refused) => {
                tracing::debug!(user = user.username, level = %class.1, refused = refused.name(), "a request is put off");
                let mut response = put_off(level.again_after());
                stamp(&mut response, uids);
                Err(response)
            }
        }
    }

    /// Writes what was counted.
    pub(crate) fn write(&self, text: &mut String) {
        let rules = Arc::clone(&self.rules.read());
        let levels = rules.levels.iter().map(|(name, level)| (name.clone(), level.figures())).collect();
        self.counts.write(text, &levels);
    }
}

/// The revisions at which levels and schemas changed.
fn changed(caches: &Caches) -> [u64; 2] {
    [LEVELS, SCHEMAS].map(|plural| caches.of(&Collection::new(GROUP, plural)).changed())
}

/// Whether a request is a stream from its start, which nobody can wait for the end of. A watch is not: before it begins, it
/// may have much to send.
fn is_stream(info: &RequestInfo) -> bool {
    let streams = ["attach", "exec", "proxy", "log", "portforward"];
    info.is_resource && (&*info.verb == "proxy" || streams.contains(&&*info.subresource))
}

/// The answer for who comes at a bad moment, and may come again after so many seconds.
fn put_off(again_after: u64) -> Response<Body> {
    let text = "Too many requests, please try again later.\n";
    let mut response = body::answer(StatusCode::TOO_MANY_REQUESTS, "text/plain; charset=utf-8", text);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(again_after));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn stamp(response: &mut Response<Body>, uids: [Option<HeaderValue>; 2]) {
    for (name, uid) in [SCHEMA_HEADER, LEVEL_HEADER].into_iter().zip(uids) {
        if let Some(uid) = uid {
            response.headers_mut().insert(name, uid);
        }
    }
}

impl Pass {
    /// Says in an answer where its request belonged. Whoever sends a whole answer finds the request's seats with it, to keep
    /// until it is sent.
    pub(crate) fn stamp(self, mut response: Response<Body>) -> Response<Body> {
        let Some(Running { uids, held }) = self.0 else { return response };
        stamp(&mut response, uids);
        let is_whole = response.body().size_hint().exact().is_some();
        if is_whole && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.extensions_mut().insert(held);
        }
        response
    }
}
