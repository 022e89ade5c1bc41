//! How many seats a priority level could have used lately.

use std::time::Duration;

/// How much of the last period's level stays where the need has gone down: levels give seats back slowly and get them
/// fast.
const SMOOTHING: f64 = 0.977;

/// The need of a level over a period, and what is remembered of the periods before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    began: Duration,
    at: Duration,
    now: f64,
    high: f64,
    sum: f64,
    squares: f64,
    smoothed: f64,
}

/// What a period was like, in seats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Period {
    /// The most at any moment.
    pub(super) high: f64,
    /// Over time.
    pub(super) average: f64,
    /// The standard deviation over time.
    pub(super) deviation: f64,
    /// Of this period and those before.
    pub(super) smoothed: f64,
}

impl Demand {
    /// Nothing is needed yet.
    pub(super) fn since(began: Duration) -> Self {
        Self { began, at: began, ..Self::default() }
    }

    /// Notes how many seats are needed from `at` on.
    pub(super) fn set(&mut self, at: Duration, seats: u32) {
        let passed = at.saturating_sub(self.at).as_secs_f64();
        self.sum += self.now * passed;
        self.squares += self.now * self.now * passed;
        self.at = self.at.max(at);
        self.now = f64::from(seats);
        self.high = self.high.max(self.now);
    }

    /// Ends a period and begins the next.
    pub(super) fn close(&mut self, at: Duration) -> Period {
        self.set(at, self.now as u32);
        let length = self.at.saturating_sub(self.began).as_secs_f64();
        let mut period = Period { high: self.high, smoothed: self.smoothed, ..Period::default() };
        if length > 0.0 {
            period.average = self.sum / length;
            let variance = self.squares / length - period.average * period.average;
            period.deviation = variance.max(0.0).sqrt();
            let envelope = period.average + period.deviation;
            period.smoothed = envelope.max(SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * envelope);
        }
        *self = Self { now: self.now, high: self.now, smoothed: period.smoothed, ..Self::since(self.at) };
        period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_weighed_by_time() {
        let at = Duration::from_secs;
        let mut demand = Demand::since(at(0));
        demand.set(at(0), 10);
        demand.set(at(5), 0);
        let period = demand.close(at(10));
        assert_eq!(period, Period { high: 10.0, average: 5.0, deviation: 5.0, smoothed: 10.0 });
        let quiet = demand.close(at(20));
        assert_eq!((quiet.high, quiet.average), (0.0, 0.0));
        assert!((quiet.smoothed - 9.77).abs() < 1e-9, "what was needed is forgotten slowly");
        demand.set(at(20), 40);
        assert!((demand.close(at(30)).smoothed - 40.0).abs() < 1e-9);
    }
}
