//! Who goes next: the requests of one priority level, in queues that are served fairly.
//!
//! Each flow (one user of a schema, for example) is dealt a hand of few queues out of many, always the same ones, and a request
//! goes to the one of them with the least in it: a flow that floods its own queues leaves most others a queue without it
//! (shuffle sharding). Queues are served by the seats and the time that their requests took: the next request comes from
//! the queue that would be done first if all queues were served at once, bit by bit (fair queuing).
//!
//! This is a state machine without a clock: every call is told the time, and returns which requests begin now.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// What a request is expected to take before it is known what it took, in seconds.
const EXPECTED: f64 = 0.003;
/// How much the last request says of how long requests take.
const WEIGHT: f64 = 0.1;
/// Seconds after which somebody who was refused may come again: at least, at most.
const AGAIN: (f64, f64) = (1.0, 32.0);

/// A request that waits or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// What happens to requests for which there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// There always is one.
    Exempt,
    /// They are refused.
    Reject,
    /// They wait.
    Queue(Shape),
}

/// How requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Queues in all; at least one.
    pub(super) queues: u32,
    /// Queues of one flow; at least one and at most all.
    pub(super) hand: u32,
    /// Requests that wait in a queue at most.
    pub(super) length: usize,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    /// All queues of its flow are full.
    QueueFull,
    /// All seats are taken, and nobody waits here.
    ConcurrencyLimit,
    /// It has waited for too long.
    TimeOut,
}

impl Refused {
    /// The reason by the name that metrics have for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::TimeOut => "time-out",
        }
    }
}

/// The requests of one priority level.
#[derive(Debug)]
pub(super) struct Queues {
    /// Seats that may be taken.
    limit: u32,
    overflow: Overflow,
    /// Queues in which a request waits or of which one runs; an idle queue has no memory.
    active: BTreeMap<u32, Queue>,
    requests: HashMap<Ticket, Request>,
    next: u64,
    running_seats: u32,
    waiting_seats: u32,
    /// The queue that was served last: of queues that are equal, the one after it is next.
    last: u32,
    /// How far a queue is that was served all the time, in seat-seconds.
    progress: f64,
    /// How long requests took lately, in seconds.
    typical: f64,
    seen: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Ticket>,
    running: u32,
    running_seats: u32,
    waiting_seats: u32,
    /// Where the next request of this queue begins, on the scale of [`Queues::progress`].
    begins: f64,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    seats: u32,
    queue: Option<u32>,
    /// Since when it runs; nothing while it waits.
    since: Option<Duration>,
}

impl Queues {
    /// A level that nobody has asked anything of.
    pub(super) fn new(limit: u32, overflow: Overflow) -> Self {
        Self {
            limit,
            overflow,
            active: BTreeMap::new(),
            requests: HashMap::new(),
            next: 0,
            running_seats: 0,
            waiting_seats: 0,
            last: 0,
            progress: 0.0,
            typical: EXPECTED,
            seen: Duration::ZERO,
        }
    }

    /// Seats that are taken, and seats that are waited for.
    pub(super) fn demand(&self) -> u32 {
        self.running_seats + self.waiting_seats
    }

    /// Seats that may be taken.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Whole seconds after which all that is here now is likely to be done, so that who was refused finds a seat then.
    pub(super) fn again_after(&self, now: Duration) -> u64 {
        let ages = self.requests.values().filter_map(|request| Some(now.saturating_sub(request.since?)));
        let (count, sum) = ages.fold((0_u32, 0.0), |(count, sum), age| (count + 1, sum + age.as_secs_f64()));
        // Those that run may already have taken longer than others did.
        let each = self.typical.max(sum / f64::from(count.max(1)));
        let wait = each * f64::from(self.demand()) / f64::from(self.limit.max(1));
        wait.ceil().clamp(AGAIN.0, AGAIN.1) as u64
    }

    /// Takes in a request of the flow `flow` that needs `seats` seats (at least one). It runs at once if it is among the
    /// tickets that begin.
    ///
    /// # Errors
    /// Says why the request cannot even wait.
    pub(super) fn offer(
        &mut self,
        now: Duration,
        flow: u64,
        seats: u32,
    ) -> Result<(Ticket, Vec<Ticket>), Refused> {
        self.advance(now);
        let ticket = Ticket(self.next);
        let mut request = Request { seats, queue: None, since: None };
        match self.overflow {
            Overflow::Reject if !self.fits(seats) => return Err(Refused::ConcurrencyLimit),
            Overflow::Exempt | Overflow::Reject => {
                request.since = Some(now);
                self.running_seats += seats;
                self.next += 1;
                self.requests.insert(ticket, request);
                return Ok((ticket, vec![ticket]));
            }
            Overflow::Queue(shape) => {
                let number = self.emptiest(&hand(flow, shape.queues, shape.hand));
                let waiting = self.active.get(&number).map_or(0, |queue| queue.waiting.len());
                if waiting >= shape.length && self.running_seats >= self.limit {
                    return Err(Refused::QueueFull);
                }
                let begins = self.progress;
                let queue = self.active.entry(number).or_insert_with(|| Queue { begins, ..Queue::default() });
                queue.waiting.push_back(ticket);
                queue.waiting_seats += seats;
                self.waiting_seats += seats;
                request.queue = Some(number);
                self.next += 1;
                self.requests.insert(ticket, request);
            }
        }
        Ok((ticket, self.dispatch(now)))
    }

    /// Ends a request, which ran or gave up waiting. Returns those that begin in its place.
    pub(super) fn leave(&mut self, now: Duration, ticket: Ticket) -> Vec<Ticket> {
        self.advance(now);
        let Some(request) = self.requests.remove(&ticket) else { return Vec::new() };
        let Request { seats, since, queue: number } = request;
        if let Some(since) = since {
            self.typical += (now.saturating_sub(since).as_secs_f64() - self.typical) * WEIGHT;
        }
        match since {
            Some(_) => self.running_seats -= seats,
            None => self.waiting_seats -= seats,
        }
        if let Some(number) = number
            && let Some(queue) = self.active.get_mut(&number)
        {
            if let Some(since) = since {
                queue.running -= 1;
                queue.running_seats -= seats;
                // The queue was charged with what was expected.
                let took = now.saturating_sub(since).as_secs_f64();
                queue.begins += (took - EXPECTED) * f64::from(seats);
            } else {
                queue.waiting.retain(|waiting| *waiting != ticket);
                queue.waiting_seats -= seats;
            }
            if queue.running == 0 && queue.waiting.is_empty() {
                self.active.remove(&number);
            }
        }
        self.dispatch(now)
    }

    /// Changes the limit and what happens beyond it. Who waits already goes on waiting. Returns those that begin now.
    pub(super) fn reshape(&mut self, now: Duration, limit: u32, overflow: Overflow) -> Vec<Ticket> {
        self.advance(now);
        (self.limit, self.overflow) = (limit, overflow);
        self.dispatch(now)
    }

    /// Whether a request of so many seats may begin. One that is wider than the whole level runs alone.
    fn fits(&self, seats: u32) -> bool {
        let fits = self.running_seats == 0 || self.running_seats.saturating_add(seats) <= self.limit;
        self.overflow == Overflow::Exempt || (fits && self.running_seats < self.limit)
    }

    fn emptiest(&self, hand: &[u32]) -> u32 {
        let work = |number: &&u32| {
            self.active.get(number).map_or(0, |queue| queue.waiting_seats + queue.running_seats)
        };
        hand.iter().min_by_key(work).copied().unwrap_or_default()
    }

    /// Lets time pass: what all queues have in common grows by what each would have got.
    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.seen).as_secs_f64();
        self.seen = self.seen.max(now);
        if !self.active.is_empty() {
            let served = f64::from(self.demand().min(self.limit));
            self.progress += passed * served / self.active.len() as f64;
        }
    }

    fn dispatch(&mut self, now: Duration) -> Vec<Ticket> {
        let mut begin = Vec::new();
        while let Some(number) = self.first_done() {
            let Some(queue) = self.active.get_mut(&number) else { break };
            let Some(&ticket) = queue.waiting.front() else { break };
            let Some(request) = self.requests.get(&ticket).copied() else { break };
            // A wide request is waited for: others that would fit could keep it out for ever.
            if !self.fits(request.seats) {
                break;
            }
            let Some(queue) = self.active.get_mut(&number) else { break };
            queue.waiting.pop_front();
            queue.waiting_seats -= request.seats;
            queue.running += 1;
            queue.running_seats += request.seats;
            queue.begins += EXPECTED * f64::from(request.seats);
            self.waiting_seats -= request.seats;
            self.running_seats += request.seats;
            self.last = number;
            if let Some(request) = self.requests.get_mut(&ticket) {
                request.since = Some(now);
            }
            begin.push(ticket);
        }
        begin
    }

    /// The queue whose oldest request would be done first.
    fn first_done(&self) -> Option<u32> {
        let after = self.active.range(self.last.saturating_add(1)..);
        let around = after.chain(self.active.range(..=self.last));
        let ends = around.filter_map(|(number, queue)| {
            let seats = self.requests.get(queue.waiting.front()?)?.seats;
            Some((*number, queue.begins + EXPECTED * f64::from(seats)))
        });
        ends.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(number, _)| number)
    }
}

/// The queues of a flow: `size` different ones of `queues`, by the flow's hash alone.
pub(super) fn hand(mut flow: u64, queues: u32, size: u32) -> Vec<u32> {
    let mut hand: Vec<u32> = Vec::with_capacity(size as usize);
    for drawn in 0..size.min(queues) {
        let left = u64::from(queues - drawn);
        let mut card = (flow % left) as u32;
        flow /= left;
        // A card's number among those that are left, turned into its number among all.
        let mut taken = hand.clone();
        taken.sort_unstable();
        for other in taken {
            if card >= other {
                card += 1;
            }
        }
        hand.push(card);
    }
    hand
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const QUEUE: Overflow = Overflow::Queue(Shape { queues: 8, hand: 2, length: 5 });

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_hand_has_different_queues_and_is_always_the_same() {
        for flow in [0, 1, 7, 0xdead_beef, u64::MAX] {
            let dealt = hand(flow, 16, 4);
            let different: BTreeSet<_> = dealt.iter().collect();
            assert_eq!((dealt.len(), different.len()), (4, 4), "{dealt:?}");
            assert!(dealt.iter().all(|queue| *queue < 16));
            assert_eq!(dealt, hand(flow, 16, 4));
        }
        assert_eq!(hand(3, 2, 5).len(), 2);
    }

    #[test]
    fn all_hands_are_dealt_alike_often() {
        let mut counts = BTreeMap::<Vec<u32>, u32>::new();
        for flow in 0..12 * 50 {
            *counts.entry(hand(flow, 4, 2)).or_default() += 1;
        }
        assert_eq!(counts.len(), 12);
        assert!(counts.values().all(|count| *count == 50), "{counts:?}");
    }

    #[test]
    fn who_is_refused_comes_again_when_there_is_room() {
        let mut level = Queues::new(2, QUEUE);
        assert_eq!(level.again_after(at(0)), 1);
        // Five seconds each, two at a time.
        let mut tickets = Vec::new();
        for _ in 0..6 {
            tickets.push(level.offer(at(0), 7, 1).expect("a place").0);
        }
        assert_eq!(level.again_after(at(5000)), 15, "six that take five seconds, in two seats");
        for (done, ticket) in tickets.into_iter().enumerate() {
            level.leave(at(5000 + 5000 * (done as u64 / 2)), ticket);
        }
        // With nothing left there is no wait, however long the last ones took; and nobody is sent away for minutes.
        assert_eq!(level.again_after(at(15_000)), 1);
        level.offer(at(15_000), 7, 2).expect("a seat");
        assert_eq!(level.again_after(at(600_000)), 32);
    }

    #[test]
    fn without_queues_who_finds_no_seat_is_refused() {
        let mut level = Queues::new(2, Overflow::Reject);
        let (first, begin) = level.offer(at(0), 1, 1).expect("a seat");
        assert_eq!(begin, [first]);
        level.offer(at(0), 1, 1).expect("a seat");
        assert_eq!(level.offer(at(0), 2, 1), Err(Refused::ConcurrencyLimit));
        level.leave(at(1), first);
        assert!(level.offer(at(1), 2, 1).is_ok());
    }

    #[test]
    fn an_exempt_level_has_no_limit() {
        let mut level = Queues::new(0, Overflow::Exempt);
        for _ in 0..100 {
            let (ticket, begin) = level.offer(at(0), 1, 10).expect("always");
            assert_eq!(begin, [ticket]);
        }
        assert_eq!(level.demand(), 1000);
    }

    #[test]
    fn queues_are_bounded() {
        let mut level = Queues::new(1, Overflow::Queue(Shape { queues: 1, hand: 1, length: 2 }));
        for _ in 0..3 {
            level.offer(at(0), 1, 1).expect("room");
        }
        assert_eq!(level.offer(at(0), 1, 1), Err(Refused::QueueFull));
    }

    #[test]
    fn a_jail_lets_nobody_go_until_it_gets_seats() {
        let mut level = Queues::new(0, QUEUE);
        let (held, begin) = level.offer(at(0), 1, 1).expect("room");
        assert_eq!(begin, []);
        assert_eq!(level.reshape(at(1), 1, QUEUE), [held]);
    }

    #[test]
    fn a_wide_request_runs_alone_and_is_waited_for() {
        let mut level = Queues::new(4, QUEUE);
        let (small, _) = level.offer(at(0), 1, 1).expect("room");
        let (wide, begin) = level.offer(at(0), 2, 9).expect("room");
        assert_eq!(begin, []);
        assert_eq!(level.leave(at(1), small), [wide]);
        let (next, begin) = level.offer(at(2), 3, 1).expect("room");
        assert_eq!(begin, []);
        assert_eq!(level.leave(at(3), wide), [next]);
    }

    #[test]
    fn who_gives_up_waiting_makes_room_for_those_behind() {
        let mut level = Queues::new(2, Overflow::Queue(Shape { queues: 1, hand: 1, length: 9 }));
        let (_, _) = level.offer(at(0), 1, 1).expect("room");
        let (wide, begin) = level.offer(at(0), 1, 2).expect("room");
        assert_eq!(begin, []);
        let (behind, begin) = level.offer(at(0), 1, 1).expect("room");
        assert_eq!(begin, []);
        assert_eq!(level.leave(at(1), wide), [behind]);
        assert_eq!(level.leave(at(1), wide), [], "who left is gone");
    }

    /// Two flows that have queues of their own, `greedy` with much and `modest` with little to do: how many requests of each
    /// begin in a while, when each takes the time and the seats given.
    fn share(greedy: (u64, u32), modest: (u64, u32)) -> (f64, f64) {
        let mut level = Queues::new(1, Overflow::Queue(Shape { queues: 64, hand: 1, length: 1000 }));
        let mut running = None;
        let (mut served, mut flows) = ([0.0; 2], HashMap::new());
        for _ in 0..200 {
            for (flow, (_, seats)) in [greedy, modest].into_iter().enumerate() {
                let (ticket, begin) = level.offer(at(0), flow as u64, seats).expect("room");
                flows.insert(ticket, flow);
                running = begin.first().copied().or(running);
            }
        }
        let mut now = 0;
        for _ in 0..200 {
            let ticket = running.expect("somebody");
            let flow = flows[&ticket];
            let (took, seats) = [greedy, modest][flow];
            served[flow] += took as f64 * f64::from(seats);
            now += took;
            running = level.leave(at(now), ticket).first().copied();
        }
        (served[0], served[1])
    }

    #[test]
    fn flows_get_the_same_work_done_whatever_their_requests_cost() {
        for (greedy, modest) in [((5, 1), (5, 1)), ((50, 1), (5, 1)), ((5, 10), (5, 1)), ((100, 2), (10, 3))]
        {
            let (a, b) = share(greedy, modest);
            let ratio = a / b;
            assert!((0.7..1.4).contains(&ratio), "{greedy:?} {modest:?}: {a} to {b}");
        }
    }

    #[test]
    fn a_flood_does_not_hold_up_another_flow() {
        let shape = Shape { queues: 64, hand: 6, length: 50 };
        let mut level = Queues::new(4, Overflow::Queue(shape));
        let mut running = VecDeque::new();
        for _ in 0..400 {
            if let Ok((_, begin)) = level.offer(at(0), 0x1234_5678_9abc, 1) {
                running.extend(begin);
            }
        }
        let (modest, begin) = level.offer(at(1), 0xfedc_ba98_7654, 1).expect("a queue without the flood");
        running.extend(begin);
        let mut turns = 0;
        while !running.contains(&modest) {
            turns += 1;
            let done = running.pop_front().expect("somebody runs");
            running.extend(level.leave(at(1 + turns * 10), done));
        }
        assert!(turns <= 8, "it had to wait for {turns} others");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Offer { flow: u64, seats: u32 },
        Leave(prop::sample::Index),
        Limit(u32),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..6_u64, 1..5_u32).prop_map(|(flow, seats)| Step::Offer { flow: flow * 7919, seats }),
            4 => any::<prop::sample::Index>().prop_map(Step::Leave),
            1 => (0..8_u32).prop_map(Step::Limit),
            1 => (0..100_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever happens: seats are never taken twice, nobody begins twice, and with a seat free nobody waits for ever.
        #[test]
        fn no_wake_up_is_lost(steps in prop::collection::vec(step(), 1..200)) {
            let (mut level, mut now) = (Queues::new(3, QUEUE), 0);
            let (mut limit, mut seats) = (3, HashMap::new());
            let (mut waiting, mut running) = (BTreeSet::new(), BTreeSet::new());
            for step in steps {
                let begin = match step {
                    Step::Offer { flow, seats: wanted } => match level.offer(at(now), flow, wanted) {
                        Ok((ticket, begin)) => {
                            seats.insert(ticket, wanted);
                            waiting.insert(ticket);
                            begin
                        }
                        Err(refused) => {
                            prop_assert_eq!(refused, Refused::QueueFull);
                            Vec::new()
                        }
                    },
                    Step::Leave(index) => {
                        let all: Vec<Ticket> = waiting.union(&running).copied().collect();
                        if all.is_empty() {
                            continue;
                        }
                        let ticket = *index.get(&all);
                        waiting.remove(&ticket);
                        running.remove(&ticket);
                        level.leave(at(now), ticket)
                    }
                    Step::Limit(new) => {
                        limit = new;
                        level.reshape(at(now), new, QUEUE)
                    }
                    Step::Wait(millis) => {
                        now += millis;
                        continue;
                    }
                };
                let before: u32 = running.iter().map(|ticket| seats[ticket]).sum();
                for ticket in &begin {
                    prop_assert!(waiting.remove(ticket), "{:?} did not wait", ticket);
                    running.insert(*ticket);
                }
                let taken: u32 = running.iter().map(|ticket| seats[ticket]).sum();
                prop_assert!(begin.is_empty() || taken <= limit || (before == 0 && begin.len() == 1));
                prop_assert!(taken > 0 || waiting.is_empty() || limit == 0, "all wait for nothing");
                let all: u32 = waiting.iter().map(|ticket| seats[ticket]).sum();
                prop_assert_eq!(level.demand(), taken + all);
            }
            level.reshape(at(now), 4, QUEUE).into_iter().for_each(|ticket| { waiting.remove(&ticket); running.insert(ticket); });
            while let Some(ticket) = running.pop_first() {
                for begun in level.leave(at(now), ticket) {
                    prop_assert!(waiting.remove(&begun));
                    running.insert(begun);
                }
            }
            prop_assert!(waiting.is_empty(), "{:?} never began", waiting);
            prop_assert!(level.active.is_empty() && level.requests.is_empty());
        }
    }
}
