//! KVM, proven and not assumed.
//!
//! That `/dev/kvm` opens and runs a payload says little: some hosts offer a KVM that interprets kernel code a
//! thousand times too slowly, or cannot deliver interrupts, and every ordinary kernel hangs on it. So a guest that uses
//! what kernels use (paging, an interrupt gate, a timer interrupt) is timed, in a child process that can be killed.

mod guest;
mod run;

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Helper;

/// Hidden subcommand that runs [`probe_child`].
pub const ROLE: &str = "kvm-probe";

/// How long the child may take. A working KVM needs a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/dev/kvm` is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    /// It runs ordinary guests.
    Proven {
        /// Microseconds of the timed loop.
        loop_micros: u64,
    },
    /// It is there, but ordinary guests would hang or crash.
    Suspect {
        /// What showed it.
        reason: String,
    },
    /// It is not there, or not for this user.
    Absent {
        /// Why.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Verdict {
    /// Tells whether ordinary guests run.
    pub fn is_proven(&self) -> bool {
        matches!(self, Self::Proven { .. })
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proven { loop_micros } => write!(f, "a timed guest ran as it should ({loop_micros} us)"),
            Self::Suspect { reason } => write!(f, "/dev/kvm is there but cannot run ordinary guests: {reason}"),
            Self::Absent { reason, remedy } => write!(f, "{reason}; {remedy}"),
        }
    }
}

/// Has a child process time a guest, and kills it when that takes too long. Blocks for up to two seconds.
pub fn prove(helper: &Helper) -> Verdict {
    let broken = |what: &str, error: &dyn std::fmt::Display| Verdict::Suspect { reason: format!("{what}: {error}") };
    let child = helper.command(ROLE).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return broken("the probe could not be started", &error),
    };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                // It may end at this very moment; either way it is over.
                drop(child.kill());
                drop(child.wait());
                return Verdict::Suspect { reason: format!("the timed guest did not end within {PATIENCE:?}") };
            }
            Err(error) => return broken("the probe could not be waited for", &error),
        }
    }
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        drop(output.read_to_string(&mut text));
    }
    serde_json::from_str(&text).unwrap_or_else(|_| Verdict::Suspect { reason: "the probe crashed".to_owned() })
}

/// Runs the timed guest in this process and prints the verdict as JSON; the child's side of [`prove`].
///
/// # Errors
/// When standard output is gone.
pub fn probe_child() -> std::io::Result<()> {
    use std::io::Write as _;
    let verdict = run::verdict();
    let text = serde_json::to_string(&verdict).map_err(std::io::Error::other)?;
    std::io::stdout().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_travel_as_json_and_read_as_sentences() {
        let verdict = Verdict::Suspect { reason: "a loop took 30 ms".to_owned() };
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        assert!(verdict.to_string().contains("cannot run ordinary guests: a loop took 30 ms"));
    }

    #[test]
    fn a_probe_that_says_nothing_proves_nothing() {
        assert!(!prove(&Helper::new("/bin/true")).is_proven());
        assert!(!prove(&Helper::new("/nonexistent/program")).is_proven());
    }

    #[test]
    fn the_probe_comes_to_a_verdict_here() {
        // Which one depends on the machine; that it ends, and with a reason, does not.
        let verdict = run::verdict();
        assert!(!verdict.to_string().is_empty());
    }
}
