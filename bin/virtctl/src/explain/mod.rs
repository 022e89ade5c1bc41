//! Why a machine does not run: one sentence, the cause, what to do, and what happened before.
//!
//! ```text
//!   objects --gather--> Facts --explain--> Explanation
//!                               |  life     is it wanted at all, is it going, how did the last run end
//!                               |  storage  are its volumes there
//!                               |  start    what keeps its Pod and its hypervisor from starting
//!                               |             place   no node takes it
//!                               |             image   an image cannot be pulled
//!                               |  run      what is wrong although it runs
//! ```
//!
//! The first rule that fits decides, so rules stand in the order in which a machine comes to run, except that what explains
//! others comes before them. All but `gather` is pure: objects in, words out. It reads the words of this server and those of
//! KubeVirt and Kubernetes alike.

mod facts;
pub(crate) mod gather;
mod image;
mod life;
mod place;
mod run;
mod start;
mod storage;
mod timeline;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub(crate) use facts::Facts;
use timeline::Moment;

/// What a rule found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// What the machine does, as it follows its name: "does not run".
    does: String,
    /// Why, as the rest of a sentence.
    why: String,
    /// The words of the object that says so.
    cause: String,
    /// What to do.
    next: String,
}

/// A machine that should run and does not.
const STUCK: &str = "does not run";

impl Verdict {
    fn new(does: &str, why: impl Into<String>) -> Self {
        Self { does: does.to_owned(), why: why.into(), ..Self::default() }
    }

    fn stuck(why: impl Into<String>) -> Self {
        Self::new(STUCK, why)
    }

    fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    fn so(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

/// What is told of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    name: String,
    /// The server's one word.
    status: String,
    pub(crate) sentence: String,
    pub(crate) cause: String,
    pub(crate) next: String,
    timeline: Vec<Moment>,
    unread: Vec<String>,
}

/// Explains a machine.
pub(crate) fn explain(facts: &Facts) -> Explanation {
    let rules = [
        life::going,
        life::off,
        storage::missing,
        storage::filling,
        life::unmade,
        start::stuck,
        life::ended,
        run::wrong,
    ];
    let verdict = rules.iter().find_map(|rule| rule(facts)).unwrap_or_else(|| run::well(facts));
    let why = verdict.why.trim_end_matches('.');
    // A reason follows a colon; what is said besides joins on as it begins.
    let joint = match why.split(' ').next() {
        Some("but") => ", ",
        Some("and" | "with") => " ",
        _ => ": ",
    };
    let sentence = format!("{} {}{joint}{why}.", facts.name, verdict.does);
    let word = facts::text(&facts.machine, "/status/printableStatus");
    Explanation {
        name: facts.name.clone(),
        status: if word.is_empty() { facts.phase().to_owned() } else { word.to_owned() },
        sentence,
        cause: verdict.cause.split_whitespace().collect::<Vec<_>>().join(" "),
        next: verdict.next,
        timeline: timeline::of(facts),
        unread: facts.unread.clone(),
    }
}

impl Explanation {
    /// Writes it for people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.sentence);
        for (title, words) in [("Cause", &self.cause), ("Next", &self.next)] {
            if !words.is_empty() {
                text.push_str(&format!("\n{title}:\n  {words}\n"));
            }
        }
        if !self.timeline.is_empty() {
            text.push_str("\nTimeline:\n");
            text.push_str(&timeline::lines(&self.timeline));
        }
        if !self.unread.is_empty() {
            text.push_str("\nNot looked at:\n");
            self.unread.iter().for_each(|what| text.push_str(&format!("  {what}\n")));
        }
        text
    }

    /// Writes it for programs.
    pub(crate) fn document(&self) -> Value {
        let timeline: Vec<_> = self.timeline.iter().map(Moment::document).collect();
        json!({
            "name": self.name,
            "status": self.status,
            "sentence": self.sentence,
            "cause": self.cause,
            "nextStep": self.next,
            "timeline": timeline,
            "notLookedAt": self.unread,
        })
    }
}
