//! A priority level at work: who waits for a seat, and who has one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use effects::Clock;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::demand::{Demand, Period};
use super::queues::{Overflow, Queues, Refused, Shape, Ticket};
use super::shares::{Bounds, Shares};

/// What a PriorityLevelConfiguration says.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
    pub(super) shares: Shares,
    pub(super) overflow: Overflow,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Limits {
    nominal_concurrency_shares: u32,
    lendable_percent: u32,
    borrowing_limit_percent: Option<u32>,
    limit_response: Response,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    queuing: Option<Queuing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queuing {
    queues: u32,
    hand_size: u32,
    queue_length_limit: usize,
}

impl Plan {
    /// Reads an object; nothing if it is none that could be obeyed.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let spec = object.get("spec")?;
        let exempt = spec["type"] == "Exempt";
        let limits = match &spec[if exempt { "exempt" } else { "limited" }] {
            Value::Null if exempt => Limits::default(),
            limits => Limits::deserialize(limits).ok()?,
        };
        let overflow = match limits.limit_response.queuing {
            _ if exempt => Overflow::Exempt,
            None => Overflow::Reject,
            Some(Queuing { queues, hand_size, queue_length_limit }) => {
                let (queues, length) = (queues.max(1), queue_length_limit);
                Overflow::Queue(Shape { queues, hand: hand_size.clamp(1, queues), length })
            }
        };
        Some(Self {
            name: machinery::object::name(object).into(),
            uid: machinery::object::uid(object).into(),
            shares: Shares {
                nominal: limits.nominal_concurrency_shares,
                lendable: limits.lendable_percent,
                borrowing: limits.borrowing_limit_percent,
            },
            overflow,
        })
    }
}

/// A priority level at work. It outlives its object for as long as somebody waits or runs in it.
#[derive(Debug)]
pub(super) struct Level {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    bounds: Bounds,
    queues: Queues,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    demand: Demand,
    period: Period,
}

/// A level's figures at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) exempt: bool,
    pub(super) bounds: Bounds,
    pub(super) current: u32,
    pub(super) period: Period,
}

/// The right to run a request, or a place in the queue for it; given up when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    level: Arc<Level>,
    ticket: Ticket,
}

impl State {
    /// Wakes those who begin now, and notes what is needed now.
    fn begin(&mut self, now: Duration, tickets: &[Ticket]) {
        self.demand.set(now, self.queues.demand());
        for ticket in tickets {
            if let Some(waiting) = self.waiting.remove(ticket) {
                // Who has just gone away gives the seat back with the ticket.
                let _ = waiting.send(());
            }
        }
    }
}

impl Level {
    pub(super) fn new(clock: Arc<dyn Clock>, plan: Plan, bounds: Bounds) -> Arc<Self> {
        let queues = Queues::new(bounds.first(), plan.overflow);
        let demand = Demand::since(clock.elapsed());
        let state =
            State { plan, bounds, queues, waiting: HashMap::new(), demand, period: Period::default() };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// Changes what its object says. The seats that it has stay, within the new bounds, until they are given out again.
    pub(super) fn replan(&self, plan: Plan, bounds: Bounds) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let mut limit = state.queues.limit();
        if state.bounds != bounds {
            limit = limit.clamp(bounds.lower, bounds.upper);
        }
        let begin = state.queues.reshape(now, limit, plan.overflow);
        (state.plan, state.bounds) = (plan, bounds);
        state.begin(now, &begin);
    }

    /// Gives it so many seats from now on.
    pub(super) fn set_limit(&self, seats: u32) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let overflow = state.plan.overflow;
        let begin = state.queues.reshape(now, seats, overflow);
        state.begin(now, &begin);
    }

    /// Ends a period of counting what it needs.
    pub(super) fn close_period(&self) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        state.period = state.demand.close(now);
    }

    /// Its object's identifier.
    pub(super) fn uid(&self) -> Box<str> {
        self.state.lock().plan.uid.clone()
    }

    /// Seats of one request at most.
    pub(super) fn widest(&self) -> u32 {
        let state = self.state.lock();
        match state.plan.overflow {
            Overflow::Queue(shape) => state.bounds.widest(shape.hand),
            Overflow::Exempt | Overflow::Reject => u32::MAX,
        }
    }

    /// Seconds after which who was refused may come again.
    pub(super) fn again_after(&self) -> u64 {
        let now = self.clock.elapsed();
        self.state.lock().queues.again_after(now)
    }

    pub(super) fn figures(&self) -> Figures {
        let state = self.state.lock();
        Figures {
            exempt: state.plan.overflow == Overflow::Exempt,
            bounds: state.bounds,
            current: state.queues.limit(),
            period: state.period,
        }
    }

    /// Waits for so many seats, no longer than `patience`. Who goes away meanwhile waits no more. `waits` is told when the
    /// request does not begin at once.
    ///
    /// # Errors
    /// Says why there are none.
    pub(super) async fn enter<W>(
        self: &Arc<Self>,
        flow: u64,
        seats: u32,
        patience: Duration,
        waits: impl FnOnce() -> W,
    ) -> Result<Seat, Refused> {
        let (woken, seat) = {
            let now = self.clock.elapsed();
            let mut state = self.state.lock();
            let (ticket, begin) = state.queues.offer(now, flow, seats)?;
            let woken = (!begin.contains(&ticket)).then(|| {
                let (wake, woken) = oneshot::channel();
                state.waiting.insert(ticket, wake);
                woken
            });
            state.begin(now, &begin);
            (woken, Seat { level: Arc::clone(self), ticket })
        };
        let Some(woken) = woken else { return Ok(seat) };
        let _waits = waits();
        tokio::select! {
            biased;
            // The sender goes without a word with the seat alone, which is held here.
            _ = woken => Ok(seat),
            () = self.clock.sleep(patience) => Err(Refused::TimeOut),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = self.level.clock.elapsed();
        let mut state = self.level.state.lock();
        state.waiting.remove(&self.ticket);
        let begin = state.queues.leave(now, self.ticket);
        state.begin(now, &begin);
    }
}

#[cfg(test)]
mod tests {
    use effects::VirtualClock;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn level(seats: u32) -> Arc<Level> {
        let object = json!({"metadata": {"name": "l", "uid": "u"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 10, "lendablePercent": 0, "limitResponse": {"type": "Queue",
                "queuing": {"queues": 4, "handSize": 2, "queueLengthLimit": 3}}}}});
        let plan = Plan::read(&object).expect("a level");
        let clock = Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH));
        Level::new(clock, plan, Bounds { nominal: seats, lower: seats, upper: seats })
    }

    const PATIENCE: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn a_seat_that_is_free_again_goes_to_who_waits() {
        let level = level(1);
        let first = level.enter(1, 1, PATIENCE, || ()).await.expect("a seat");
        let waiting = tokio::spawn({
            let level = Arc::clone(&level);
            async move { level.enter(2, 1, PATIENCE, || ()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.expect("no panic"));
        assert_eq!(level.state.lock().queues.demand(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_who_goes_leaves_nothing() {
        let level = level(1);
        let first = level.enter(1, 1, PATIENCE, || ()).await.expect("a seat");
        assert_eq!(level.enter(2, 1, PATIENCE, || ()).await.err(), Some(Refused::TimeOut));
        let gone = level.enter(3, 1, PATIENCE, || ());
        assert!(tokio::time::timeout(Duration::from_secs(1), gone).await.is_err());
        assert_eq!(level.state.lock().queues.demand(), 1);
        drop(first);
        let state = level.state.lock();
        assert_eq!((state.queues.demand(), state.waiting.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn seats_that_are_lent_let_more_in() {
        let level = level(1);
        let _first = level.enter(1, 1, PATIENCE, || ()).await.expect("a seat");
        let second = tokio::spawn({
            let level = Arc::clone(&level);
            async move { level.enter(2, 1, PATIENCE, || ()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        level.set_limit(2);
        assert!(second.await.expect("no panic"));
    }
}
