//! Why a machine ended, from what was seen: a pure judgement.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use hypervisor::ShutdownCause;
use wire::launcher::v1::machine_state::Phase;

use crate::shim::exit::Exit;

/// What was asked of a machine that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To shut down by its power button.
    Shutdown,
    /// To be killed because the guest did not heed its power button in time.
    GraceOver,
    /// To be killed at once.
    Kill,
}

/// What was seen of a machine's end.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What was asked.
    pub(super) wish: Option<Wish>,
    /// What the hypervisor said of the shutdown.
    pub(super) shutdown: Option<(ShutdownCause, String)>,
    /// Whether the guest reported a panic.
    pub(super) panicked: bool,
    /// What the guest's watchdog did when it expired.
    pub(super) watchdog: Option<String>,
}

/// The final phase, one word and one sentence.
pub(super) type Verdict = (Phase, &'static str, String);

/// Judges the end of a machine that had been started.
pub(super) fn judge(exit: &Exit, seen: &Seen, last_words: &str) -> Verdict {
    if seen.panicked || matches!(&seen.shutdown, Some((_, reason)) if reason == "guest-panic") {
        return (Phase::Crashed, "GuestPanicked", "the guest panicked".to_owned());
    }
    if seen.watchdog.as_deref() == Some("poweroff") {
        let message = "the guest's watchdog expired and ended the machine";
        return (Phase::Crashed, "WatchdogExpired", message.to_owned());
    }
    if matches!(&seen.shutdown, Some((ShutdownCause::Guest, reason)) if reason == "guest-reset") {
        let message = "the guest restarted, which ends this machine";
        return (Phase::ShutOff, "GuestReset", message.to_owned());
    }
    if let Some((ShutdownCause::Guest, _)) = seen.shutdown {
        let message = match seen.wish {
            Some(Wish::Shutdown) => "the guest shut down on request",
            _ => "the guest shut itself down",
        };
        return (Phase::ShutOff, "GuestShutdown", message.to_owned());
    }
    match seen.wish {
        Some(Wish::Kill) => {
            return (Phase::ShutOff, "Killed", "the machine was killed on request".to_owned());
        }
        Some(Wish::GraceOver) => {
            let message = "the guest did not shut down within its grace period and was killed";
            return (Phase::ShutOff, "GracePeriodExceeded", message.to_owned());
        }
        _ => {}
    }
    // Nobody of us looked when it ended: another launcher had been asked, or none lived.
    if exit.killed_on_request {
        return (Phase::ShutOff, "Killed", "the machine was killed on request".to_owned());
    }
    if exit.success() && seen.shutdown.is_none() {
        return (Phase::ShutOff, "GuestShutdown", "the guest shut down".to_owned());
    }
    let reason = match (&seen.shutdown, &exit.signal) {
        (Some(_), _) => "HypervisorTerminated",
        (None, Some(_)) => "HypervisorKilled",
        (None, None) => "HypervisorFailed",
    };
    (Phase::Crashed, reason, sentence(exit, last_words))
}

/// Says how the process ended, with its last words.
pub(super) fn sentence(exit: &Exit, last_words: &str) -> String {
    if last_words.is_empty() { exit.to_string() } else { format!("{exit}; it said: {last_words}") }
}

/// Leaves out of a line what only a machine reads: the time, which would make every attempt's message another one,
/// and an option's value in JSON, which hides the reason behind it.
fn plain(line: &str) -> String {
    let dated = |word: &str| word.len() > 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    let line = line.split_once(' ').filter(|(word, _)| dated(word)).map_or(line, |(_, rest)| rest);
    match (line.find(" {"), line.rfind("}: ")) {
        (Some(begin), Some(end)) if begin < end => {
            let value: Option<serde_json::Value> = serde_json::from_str(&line[begin + 1..=end]).ok();
            let name = value.as_ref().and_then(|value| value.get("node-name").or_else(|| value.get("id")));
            let name = name.and_then(serde_json::Value::as_str).unwrap_or("…");
            format!("{} {name}{}", &line[..begin], &line[end + 1..])
        }
        _ => line.to_owned(),
    }
}

/// Returns the last lines of the hypervisor's log as one.
pub(super) fn last_words(log: &Path) -> String {
    const LINES: usize = 5;
    const BYTES: u64 = 2048;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(plain).collect();
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: Option<i32>, signal: Option<&str>) -> Exit {
        Exit { pid: 7, code, signal: signal.map(str::to_owned), killed_on_request: false, at_ms: 0 }
    }

    fn seen(wish: Option<Wish>, shutdown: Option<(ShutdownCause, &str)>) -> Seen {
        let shutdown = shutdown.map(|(cause, reason)| (cause, reason.to_owned()));
        Seen { wish, shutdown, ..Seen::default() }
    }

    #[test]
    fn every_end_has_its_reason() {
        let guest = Some((ShutdownCause::Guest, "guest-shutdown"));
        let quit = Some((ShutdownCause::Host, "host-qmp-quit"));
        let signal = Some((ShutdownCause::Host, "host-signal"));
        let ok = || exit(Some(0), None);
        let killed = || exit(None, Some("SIGKILL"));
        let cases = [
            (ok(), seen(None, guest), Phase::ShutOff, "GuestShutdown"),
            (ok(), seen(Some(Wish::Shutdown), guest), Phase::ShutOff, "GuestShutdown"),
            // The guest was quicker than the kill.
            (ok(), seen(Some(Wish::GraceOver), guest), Phase::ShutOff, "GuestShutdown"),
            (ok(), seen(Some(Wish::GraceOver), quit), Phase::ShutOff, "GracePeriodExceeded"),
            (killed(), seen(Some(Wish::GraceOver), None), Phase::ShutOff, "GracePeriodExceeded"),
            (killed(), seen(Some(Wish::Kill), None), Phase::ShutOff, "Killed"),
            (ok(), seen(None, Some((ShutdownCause::Guest, "guest-panic"))), Phase::Crashed, "GuestPanicked"),
            (ok(), seen(None, signal), Phase::Crashed, "HypervisorTerminated"),
            (killed(), seen(None, None), Phase::Crashed, "HypervisorKilled"),
            (killed(), seen(Some(Wish::Shutdown), None), Phase::Crashed, "HypervisorKilled"),
            (exit(Some(1), None), seen(None, None), Phase::Crashed, "HypervisorFailed"),
            (ok(), seen(None, None), Phase::ShutOff, "GuestShutdown"),
        ];
        for (exit, seen, phase, reason) in cases {
            let verdict = judge(&exit, &seen, "");
            assert_eq!((verdict.0, verdict.1), (phase, reason), "{exit:?} {seen:?}");
        }
    }

    #[test]
    fn words_are_plain() {
        let line = r#"2026-11-22T09:45:13.037448Z qemu-system-x86_64: -blockdev {"driver":"qcow2","node-name":"d0-1","backing":null}: Reference count table too large"#;
        assert_eq!(plain(line), "qemu-system-x86_64: -blockdev d0-1: Reference count table too large");
        assert_eq!(plain("nothing {to} say"), "nothing {to} say");
    }

    #[test]
    fn last_words_are_the_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(last_words(&log), "");
        let lines: Vec<_> = (0..500).map(|n| format!("line {n}")).collect();
        std::fs::write(&log, lines.join("\n\n")).unwrap();
        assert_eq!(last_words(&log), "line 495 | line 496 | line 497 | line 498 | line 499");
        let crashed = judge(&exit(None, Some("SIGSEGV")), &Seen::default(), "oh");
        assert_eq!(crashed.2, "the hypervisor was ended by SIGSEGV; it said: oh");
    }
}
