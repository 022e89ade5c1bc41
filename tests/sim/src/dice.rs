//! Chance, drawn from the run's seed.

use std::sync::Arc;
use std::time::Duration;

use effects::{Entropy, SeededEntropy};

/// A source of chance of its own, so that one part drawing more does not change what others get.
#[derive(Clone, Debug)]
pub struct Dice(Arc<SeededEntropy>);

impl Dice {
    /// Makes the dice of a part of the run.
    pub fn new(seed: u64, part: &str) -> Self {
        Self(Arc::new(SeededEntropy::new(seed ^ plan::name::hash(part))))
    }

    /// Returns a number below `limit`.
    pub fn below(&self, limit: u64) -> u64 {
        let mut bytes = [0u8; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes) % limit.max(1)
    }

    /// Tells whether something happens that does so `count` times in a thousand.
    pub fn chance(&self, count: u64) -> bool {
        self.below(1000) < count
    }

    /// Returns a duration from `least` to `most`, both in milliseconds.
    pub fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most.saturating_sub(least) + 1))
    }

    /// Returns one of `choices`.
    pub fn pick<'a, T>(&self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len() as u64) as usize)
    }
}
