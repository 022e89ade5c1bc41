//! The answer of every `step`.

use std::fmt;
use std::time::Duration;

/// What to do now, in this order, and when to look again without a change.
///
/// Doing a part of it and then starting over is always safe: each step sees what has been done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<A> {
    /// Actions, in order.
    pub actions: Vec<A>,
    /// When to look again although nothing changed.
    pub again: Option<Again>,
}

/// A look at a later time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// How much later.
    pub after: Duration,
    /// What it waits for, for people.
    pub why: &'static str,
}

/// News about an object, for an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody may have to do something.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

impl<A> Default for Plan<A> {
    fn default() -> Self {
        Self { actions: Vec::new(), again: None }
    }
}

impl<A> Plan<A> {
    /// Creates a plan that does nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Adds an action.
    pub fn push(&mut self, action: A) {
        self.actions.push(action);
    }

    /// Asks for another look; of several the earliest counts.
    pub fn look_again(&mut self, after: Duration, why: &'static str) {
        if self.again.is_none_or(|again| after < again.after) {
            self.again = Some(Again { after, why });
        }
    }
}

impl Notice {
    /// Creates good news.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into() }
    }

    /// Creates bad news.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: true, reason, message: message.into() }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.warning { "warning" } else { "event" };
        write!(f, "{severity} {}: {}", self.reason, self.message)
    }
}

impl<A: fmt::Display> fmt::Display for Plan<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actions.is_empty() {
            writeln!(f, "do nothing")?;
        }
        for action in &self.actions {
            writeln!(f, "{action}")?;
        }
        if let Some(again) = &self.again {
            let seconds = again.after.as_secs_f64();
            writeln!(f, "look again in {seconds} s: {}", again.why)?;
        }
        Ok(())
    }
}
