//! Many clients at once, each of which asks again as soon as it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;

use super::client::{Connection, Server};
use crate::report::Report;

/// A request, made of its number.
type Make = dyn Fn(usize) -> (Method, String, Bytes) + Send + Sync;

/// Clients with a connection each.
#[derive(Debug)]
pub(super) struct Clients(Vec<Connection>);

/// What a round of requests came to.
#[derive(Debug)]
pub(super) struct Round {
    /// Answers a second.
    pub(super) rate: f64,
    /// How long each request took, sorted.
    times: Vec<Duration>,
}

impl Round {
    pub(super) fn new(elapsed: Duration, mut times: Vec<Duration>) -> Self {
        times.sort();
        Self { rate: times.len() as f64 / elapsed.as_secs_f64(), times }
    }

    /// Milliseconds that this share of the requests took at most.
    fn percentile(&self, share: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

impl Clients {
    /// Connects `count` clients.
    pub(super) async fn connect(server: &Server, count: usize) -> Result<Self> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(server.connect().await?);
        }
        Ok(Self(connections))
    }

    /// Has the clients send the requests `numbers`, and waits for all answers.
    pub(super) async fn round(&mut self, numbers: std::ops::Range<usize>, make: Arc<Make>) -> Result<Round> {
        let (next, end) = (Arc::new(AtomicUsize::new(numbers.start)), numbers.end);
        let mut clients = JoinSet::new();
        let begun = Instant::now();
        for mut connection in self.0.drain(..) {
            let (next, make) = (Arc::clone(&next), Arc::clone(&make));
            clients.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok::<_, anyhow::Error>((connection, times));
                    }
                    let (method, path, body) = make(number);
                    let asked = Instant::now();
                    connection.ask(method, &path, body).await?;
                    times.push(asked.elapsed());
                }
            });
        }
        let mut times = Vec::with_capacity(numbers.len());
        while let Some(client) = clients.join_next().await {
            let (connection, own) = client.context("a client broke off")??;
            self.0.push(connection);
            times.extend(own);
        }
        Ok(Round::new(begun.elapsed(), times))
    }
}

/// Reports rounds: answers a second, and times; `p99` is what the slowest hundredth may take, in milliseconds.
pub(super) fn report(report: &mut Report, name: &str, rounds: &[Round], p99: Option<f64>) {
    let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    report.add_samples(name, "1/s", &of(&|round| round.rate), None);
    report.add_samples(&format!("{name}, p50"), "ms", &of(&|round| round.percentile(0.5)), None);
    report.add_samples(&format!("{name}, p99"), "ms", &of(&|round| round.percentile(0.99)), p99);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times_in_order() {
        let times = (1..=101).rev().map(Duration::from_millis).collect();
        let round = Round::new(Duration::from_secs(2), times);
        assert!((round.rate - 50.5).abs() < 1e-9);
        assert!((round.percentile(0.5) - 51.0).abs() < 1e-9);
        assert!((round.percentile(0.99) - 100.0).abs() < 1e-9);
        assert!(Round::new(Duration::from_secs(1), Vec::new()).percentile(0.5).abs() < 1e-9);
    }
}
