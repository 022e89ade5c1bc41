//! The serial port: always drained, into a bounded log and to whoever watches.
//!
//! A full channel would stall the guest, so nothing here waits for a reader: a console that is slower than
//! the guest loses output, and a log that cannot be written is given up for the moment. A console that comes is
//! shown the last output first ([`Recent`]).

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use super::log::{self, RotatedLog};
use super::supervisor::Report;

/// Bytes of each of the log's two files.
const LOG_LIMIT: u64 = 1 << 20;
/// Pieces of output that a console may lag behind.
const LAG: usize = 64;
/// Bytes of the last output that a new console is shown: a screen or two.
const SCROLLBACK: usize = 16 << 10;
/// Pieces of input that wait for the guest.
const TYPED_AHEAD: usize = 16;

/// One serial port of a running machine.
#[derive(Debug)]
pub(super) struct Serial {
    /// What consoles read from and write to.
    pub(super) port: Port,
    /// Ends when the hypervisor has closed the channel and everything is in the log.
    pub(super) drained: JoinHandle<()>,
}

/// Both directions of a port, for any number of consoles.
#[derive(Clone, Debug)]
pub(super) struct Port {
    output: Arc<Mutex<Recent>>,
    pub(super) input: mpsc::Sender<Vec<u8>>,
}

/// What was printed last, and who hears what comes next. Both change under one lock, so that a new console misses
/// nothing and sees nothing twice.
#[derive(Debug)]
struct Recent {
    last: VecDeque<u8>,
    listeners: broadcast::Sender<Vec<u8>>,
}

impl Recent {
    fn add(&mut self, piece: &[u8]) {
        let piece_end = &piece[piece.len().saturating_sub(SCROLLBACK)..];
        let room = SCROLLBACK - piece_end.len();
        self.last.drain(..self.last.len().saturating_sub(room));
        self.last.extend(piece_end);
        if self.listeners.receiver_count() > 0 {
            // Fails when the last console left just now.
            let _ = self.listeners.send(piece.to_vec());
        }
    }

    /// The last output, from the beginning of a line on where there is one.
    fn shown(&self) -> Vec<u8> {
        let full = self.last.len() == SCROLLBACK;
        let start = self.last.iter().position(|byte| *byte == b'\n').filter(|_| full).map_or(0, |at| at + 1);
        self.last.iter().skip(start).copied().collect()
    }
}

impl Port {
    /// Returns the last output, and what comes after it.
    pub(super) fn listen(&self) -> (Vec<u8>, broadcast::Receiver<Vec<u8>>) {
        let recent = self.recent();
        (recent.shown(), recent.listeners.subscribe())
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the port at the other end of `channel`, logging to `log` if that is given; the first output is reported.
pub(super) fn serve(
    channel: OwnedFd,
    log: Option<&Path>,
    reports: mpsc::Sender<Report>,
) -> io::Result<Serial> {
    let stream = StdStream::from(channel);
    stream.set_nonblocking(true)?;
    let (reader, writer) = UnixStream::from_std(stream)?.into_split();
    // A launcher that takes over shows what its predecessor has logged.
    let last = log.map(|log| log::last(log, SCROLLBACK)).unwrap_or_default().into();
    let log = log.map(|log| RotatedLog::open(log, LOG_LIMIT)).transpose()?;
    let (listeners, _) = broadcast::channel(LAG);
    let (input, typed) = mpsc::channel(TYPED_AHEAD);
    tokio::spawn(type_in(writer, typed));
    let port = Port { output: Arc::new(Mutex::new(Recent { last, listeners })), input };
    let drained = tokio::spawn(drain(reader, log, port.clone(), reports));
    Ok(Serial { port, drained })
}

async fn drain(
    reader: OwnedReadHalf,
    mut log: Option<RotatedLog>,
    port: Port,
    reports: mpsc::Sender<Report>,
) {
    let mut reader = reader;
    let mut unheard = Some(reports);
    let mut buffer = vec![0; 4096];
    let mut lost = false;
    loop {
        let piece = match reader.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => &buffer[..count],
            Err(error) => {
                tracing::warn!(%error, "read the serial port");
                return;
            }
        };
        // Never waits: when the supervisor is busy, the next piece tells the same.
        unheard = unheard.filter(|reports| reports.try_send(Report::Output).is_err());
        match log.as_mut().map_or(Ok(()), |log| log.append(piece)) {
            Ok(()) => lost = false,
            Err(error) if !lost => {
                lost = true;
                tracing::error!(%error, "the serial console's log cannot be written; output is lost until it can");
            }
            Err(_) => {}
        }
        port.recent().add(piece);
    }
}

async fn type_in(mut writer: OwnedWriteHalf, mut typed: mpsc::Receiver<Vec<u8>>) {
    while let Some(piece) = typed.recv().await {
        if let Err(error) = writer.write_all(&piece).await {
            tracing::debug!(%error, "type into the serial port");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_shown_the_last_output_and_then_what_comes() {
        let (listeners, _) = broadcast::channel(LAG);
        let (input, _typed) = mpsc::channel(1);
        let port = Port { output: Arc::new(Mutex::new(Recent { last: VecDeque::new(), listeners })), input };
        port.recent().add(b"boot\nlogin: ");
        let (shown, mut next) = port.listen();
        assert_eq!(shown, b"boot\nlogin: ");
        port.recent().add(b"root");
        assert_eq!(next.try_recv().unwrap(), b"root");

        port.recent().add(&[b'x'; 10]);
        port.recent().add(b"\n");
        port.recent().add(&vec![b'y'; SCROLLBACK - 1]);
        let (shown, _) = port.listen();
        assert_eq!(shown, vec![b'y'; SCROLLBACK - 1], "it begins with a line");
        port.recent().add(&vec![b'z'; 3 * SCROLLBACK]);
        assert_eq!(port.recent().last.len(), SCROLLBACK);
    }
}
