//! What a serial port printed last, and who is still to hear it.
//!
//! Nobody is waited for: a full channel would stall the guest. Output is kept for the slowest listener instead, up to a
//! bound; one that is further behind loses the oldest of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Bytes of the last output that a new listener is shown: a screen or two.
pub(super) const SCROLLBACK: usize = 16 << 10;
/// Bytes that a listener may be behind: a process that is not scheduled for some seconds loses nothing.
const BEHIND: usize = 1 << 20;
/// Bytes that are handed out at a time.
const PIECE: usize = 16 << 10;

/// The output of one port, for any number of listeners.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<Mutex<Kept>>);

/// Everything changes under one lock, so that a new listener misses nothing and hears nothing twice.
#[derive(Debug)]
struct Kept {
    bytes: VecDeque<u8>,
    /// How far each listener has heard.
    heard: BTreeMap<u64, u64>,
    next_listener: u64,
    /// Bytes that were printed since the beginning.
    end: watch::Sender<u64>,
}

/// Somebody who hears the last output, and then what comes.
#[derive(Debug)]
pub(super) struct Listener {
    output: Output,
    number: u64,
    end: watch::Receiver<u64>,
}

impl Output {
    /// Begins with what was printed before.
    pub(super) fn after(last: Vec<u8>) -> Self {
        let (end, _) = watch::channel(last.len() as u64);
        let kept = Kept { bytes: last.into(), heard: BTreeMap::new(), next_listener: 0, end };
        Self(Arc::new(Mutex::new(kept)))
    }

    /// Takes in what is printed.
    pub(super) fn add(&self, piece: &[u8]) {
        let mut kept = self.kept();
        kept.bytes.extend(piece);
        kept.trim(piece.len());
        kept.end.send_modify(|end| *end += piece.len() as u64);
    }

    /// Begins to listen: with the last output, from the beginning of a line on where there is one.
    pub(super) fn listen(&self) -> Listener {
        let mut kept = self.kept();
        let shown = kept.bytes.len().min(SCROLLBACK);
        let from = kept.bytes.len() - shown;
        let is_cut = shown == SCROLLBACK;
        let line = kept.bytes.range(from..).position(|byte| *byte == b'\n').filter(|_| is_cut);
        let at = kept.start() + (from + line.map_or(0, |at| at + 1)) as u64;
        let number = kept.next_listener;
        kept.next_listener += 1;
        kept.heard.insert(number, at);
        Listener { output: self.clone(), number, end: kept.end.subscribe() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// How much was printed before what is kept.
    fn start(&self) -> u64 {
        *self.end.borrow() - self.bytes.len() as u64
    }

    /// Lets go what everybody has heard, but for what the next one is shown; `new` bytes are not counted as printed yet.
    fn trim(&mut self, new: usize) {
        let end = *self.end.borrow() + new as u64;
        let behind = self.heard.values().min().map_or(0, |heard| end - heard);
        let wanted = usize::try_from(behind).unwrap_or(BEHIND).clamp(SCROLLBACK, BEHIND);
        let gone = self.bytes.len().saturating_sub(wanted);
        if gone > 0 {
            self.bytes.drain(..gone);
            // A flood that is over keeps no room.
            if self.bytes.capacity() > 4 * self.bytes.len() {
                self.bytes.shrink_to(2 * SCROLLBACK);
            }
        }
    }

    /// Takes out what a listener hears next.
    fn next(&mut self, number: u64) -> Option<Vec<u8>> {
        let start = self.start();
        let heard = self.heard.get_mut(&number)?;
        let at = (*heard).max(start);
        let from = usize::try_from(at - start).ok()?;
        let to = self.bytes.len().min(from + PIECE);
        let piece: Vec<u8> = self.bytes.range(from..to).copied().collect();
        *heard = at + piece.len() as u64;
        self.trim(0);
        (!piece.is_empty()).then_some(piece)
    }
}

impl Listener {
    /// Waits for more.
    pub(super) async fn next(&mut self) -> Vec<u8> {
        loop {
            self.end.mark_unchanged();
            let piece = self.output.kept().next(self.number);
            if let Some(piece) = piece {
                return piece;
            }
            if self.end.changed().await.is_err() {
                // The sender is in what this listener holds.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut kept = self.output.kept();
        kept.heard.remove(&self.number);
        kept.trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that there is to hear now.
    fn hear(listener: &mut Listener) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = listener.output.kept().next(listener.number) {
            all.extend(piece);
        }
        all
    }

    #[tokio::test]
    async fn a_listener_hears_the_last_output_and_then_what_comes() {
        let output = Output::after(b"boot\n".to_vec());
        output.add(b"login: ");
        let mut listener = output.listen();
        assert_eq!(listener.next().await, b"boot\nlogin: ");
        let printing = output.clone();
        let (next, ()) = tokio::join!(listener.next(), async move {
            tokio::task::yield_now().await;
            printing.add(b"root");
        });
        assert_eq!(next, b"root");

        output.add(b"\n");
        output.add(&vec![b'y'; SCROLLBACK - 1]);
        assert_eq!(hear(&mut output.listen()), vec![b'y'; SCROLLBACK - 1], "it begins with a line");
    }

    #[test]
    fn who_is_behind_loses_nothing_but_what_is_beyond_the_bound() {
        let output = Output::after(Vec::new());
        let (mut late, mut quick) = (output.listen(), output.listen());
        let mut printed = Vec::new();
        for number in 0..BEHIND / 64 {
            let line = format!("{number:063}\n");
            output.add(line.as_bytes());
            printed.extend(line.into_bytes());
        }
        assert_eq!(hear(&mut quick), printed);
        assert_eq!(hear(&mut late), printed, "however small the pieces were");
        assert_eq!(output.kept().bytes.len(), SCROLLBACK);
        assert!(output.kept().bytes.capacity() < 8 * SCROLLBACK);

        output.add(&vec![b'a'; BEHIND / 2]);
        output.add(&vec![b'b'; BEHIND]);
        assert_eq!(hear(&mut quick), vec![b'b'; BEHIND]);
        drop(late);
        assert_eq!(output.kept().bytes.len(), SCROLLBACK, "nobody waits for who has gone");
        output.add(b"c");
        assert_eq!(hear(&mut quick), b"c");
    }
}
