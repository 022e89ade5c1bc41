//! Lines and their times.

use jiff::Timestamp;

/// Cuts bytes into lines and gives each its time.
///
/// A line without a time is as old as the line before it. In a log where no line has one, such as a console's, nothing
/// is known but when the file was written to last: its lines count as no older than that.
pub(super) struct Lines {
    time: Timestamp,
    /// Whether lines tell their time; open until the first of them are seen.
    timed: Option<bool>,
    since: Option<Timestamp>,
    timestamps: bool,
    pending: Vec<u8>,
}

impl Lines {
    /// Begins a log whose first line is from `start`. Shows lines from `since` on, `timestamps` with their time.
    pub(super) fn new(start: Timestamp, since: Option<Timestamp>, timestamps: bool) -> Self {
        Self { time: start, timed: None, since, timestamps, pending: Vec::new() }
    }

    /// Takes in more bytes of a file that was written to last at `modified`; returns the lines that are complete and
    /// wanted.
    pub(super) fn take(&mut self, bytes: &[u8], modified: Option<Timestamp>) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let mut out = Vec::new();
        if self.pending.is_empty() {
            return out;
        }
        if self.timed != Some(true) {
            let timed = self.pending.split(|byte| *byte == b'\n').any(|line| time_of(line).is_some());
            self.timed = Some(timed);
            if let Some(modified) = modified.filter(|_| !timed) {
                self.time = modified;
            }
        }
        let complete = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.pending.drain(..complete).collect();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.add(line, &mut out);
        }
        out
    }

    /// Returns the last line, which has no end.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let line = std::mem::take(&mut self.pending);
        if !line.is_empty() {
            self.add(&line, &mut out);
        }
        out
    }

    fn add(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(time) = time_of(line) {
            self.time = time;
        }
        if self.since.is_some_and(|since| self.time < since) {
            return;
        }
        if self.timestamps {
            out.extend_from_slice(format!("{:.9} ", self.time).as_bytes());
        }
        out.extend_from_slice(line);
    }
}

/// Reads the time that a line itself tells.
fn time_of(line: &[u8]) -> Option<Timestamp> {
    let line = std::str::from_utf8(line).ok()?.trim();
    if line.starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        return object.get("timestamp")?.as_str()?.parse().ok();
    }
    line.split_ascii_whitespace().next()?.parse().ok()
}
