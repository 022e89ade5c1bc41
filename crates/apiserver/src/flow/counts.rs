//! Counts what becomes of requests, under the names that kube-apiserver has for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;

use super::level::Figures;
use super::queues::Refused;
use crate::metrics::histogram::Histogram;

const PREFIX: &str = "apiserver_flowcontrol";
/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
/// Upper bounds of seats.
const SEATS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];

/// Where a request belongs: its FlowSchema and its priority level, by name.
pub(super) type Class = (Box<str>, Box<str>);

/// What was counted, by class.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<Class, Series>>);

#[derive(Debug)]
struct Series {
    dispatched: u64,
    rejected: BTreeMap<Refused, u64>,
    waiting: u64,
    waiting_seats: u64,
    executing: u64,
    executing_seats: u64,
    waited: BTreeMap<bool, Histogram>,
    executed: Histogram,
    seats: Histogram,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            dispatched: 0,
            rejected: BTreeMap::new(),
            waiting: 0,
            waiting_seats: 0,
            executing: 0,
            executing_seats: 0,
            waited: BTreeMap::new(),
            executed: Histogram::new(&SECONDS),
            seats: Histogram::new(&SEATS),
        }
    }
}

/// A request that waits; counted as such until dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    counts: &'a Counts,
    class: &'a Class,
    seats: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counts.change(self.class, |series| {
            series.waiting -= 1;
            series.waiting_seats -= u64::from(self.seats);
        });
    }
}

impl Counts {
    fn change(&self, class: &Class, change: impl FnOnce(&mut Series)) {
        let mut all = self.0.lock();
        match all.get_mut(class) {
            Some(series) => change(series),
            None => change(all.entry(class.clone()).or_default()),
        }
    }

    /// Counts a request that comes in.
    pub(super) fn arrived(&self, class: &Class, seats: u32) {
        self.change(class, |series| series.seats.observe(f64::from(seats)));
    }

    /// Counts a request as waiting.
    pub(super) fn waits<'a>(&'a self, class: &'a Class, seats: u32) -> Waiting<'a> {
        self.change(class, |series| {
            series.waiting += 1;
            series.waiting_seats += u64::from(seats);
        });
        Waiting { counts: self, class, seats }
    }

    /// Counts the end of waiting, whether the request runs or is refused.
    pub(super) fn waited(&self, class: &Class, time: Duration, refused: Option<Refused>) {
        self.change(class, |series| {
            let executes = refused.is_none();
            let waited = series.waited.entry(executes).or_insert_with(|| Histogram::new(&SECONDS));
            waited.observe(time.as_secs_f64());
            if let Some(refused) = refused {
                *series.rejected.entry(refused).or_default() += 1;
            }
        });
    }

    /// Counts a request that begins.
    pub(super) fn began(&self, class: &Class, seats: u32) {
        self.change(class, |series| {
            series.dispatched += 1;
            series.executing += 1;
            series.executing_seats += u64::from(seats);
        });
    }

    /// Counts the end of a request that began.
    pub(super) fn ended(&self, class: &Class, seats: u32, took: Duration) {
        self.change(class, |series| {
            series.executing -= 1;
            series.executing_seats -= u64::from(seats);
            series.executed.observe(took.as_secs_f64());
        });
    }

    /// Writes all counts, and the figures of levels.
    pub(super) fn write(&self, text: &mut String, levels: &BTreeMap<Box<str>, Figures>) {
        let all = self.0.lock();
        let labels = |(schema, level): &Class| format!("flow_schema=\"{schema}\",priority_level=\"{level}\"");
        // Writing to a string does not fail.
        let kind = |text: &mut String, name: &str, kind: &str| {
            let _ = writeln!(text, "# TYPE {PREFIX}_{name} {kind}");
        };
        type Count = fn(&Series) -> u64;
        let counts: [(&str, &str, Count); 5] = [
            ("dispatched_requests_total", "counter", |series| series.dispatched),
            ("current_inqueue_requests", "gauge", |series| series.waiting),
            ("current_inqueue_seats", "gauge", |series| series.waiting_seats),
            ("current_executing_requests", "gauge", |series| series.executing),
            ("current_executing_seats", "gauge", |series| series.executing_seats),
        ];
        for (name, is, count) in counts {
            kind(text, name, is);
            for (class, series) in all.iter() {
                let _ = writeln!(text, "{PREFIX}_{name}{{{}}} {}", labels(class), count(series));
            }
        }
        kind(text, "rejected_requests_total", "counter");
        for (class, series) in all.iter() {
            for (refused, count) in &series.rejected {
                let (labels, reason) = (labels(class), refused.name());
                let _ = writeln!(
                    text,
                    "{PREFIX}_rejected_requests_total{{{labels},reason=\"{reason}\"}} {count}"
                );
            }
        }
        kind(text, "request_wait_duration_seconds", "histogram");
        for (class, series) in all.iter() {
            for (executes, waited) in &series.waited {
                let labels = format!("execute=\"{executes}\",{}", labels(class));
                waited.write(text, "apiserver_flowcontrol_request_wait_duration_seconds", &labels);
            }
        }
        kind(text, "request_execution_seconds", "histogram");
        for (class, series) in all.iter() {
            series.executed.write(text, "apiserver_flowcontrol_request_execution_seconds", &labels(class));
        }
        kind(text, "work_estimated_seats", "histogram");
        for (class, series) in all.iter() {
            series.seats.write(text, "apiserver_flowcontrol_work_estimated_seats", &labels(class));
        }
        type Figure = fn(&Figures) -> f64;
        let figures: [(&str, Figure); 8] = [
            ("nominal_limit_seats", |figures| f64::from(figures.bounds.nominal)),
            ("lower_limit_seats", |figures| f64::from(figures.bounds.lower)),
            ("upper_limit_seats", |figures| f64::from(figures.bounds.upper)),
            ("current_limit_seats", |figures| f64::from(figures.current)),
            ("demand_seats_high_watermark", |figures| figures.period.high),
            ("demand_seats_average", |figures| figures.period.average),
            ("demand_seats_stdev", |figures| figures.period.deviation),
            ("demand_seats_smoothed", |figures| figures.period.smoothed),
        ];
        for (name, figure) in figures {
            kind(text, name, "gauge");
            for (level, figures) in levels {
                let _ = writeln!(text, "{PREFIX}_{name}{{priority_level=\"{level}\"}} {}", figure(figures));
            }
        }
    }
}
