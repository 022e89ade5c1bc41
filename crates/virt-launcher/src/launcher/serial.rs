//! The serial port: always drained, into a bounded log and to whoever watches.
//!
//! A full channel would stall the guest, so nothing here waits for a reader: a console that is slower than
//! the guest loses output, and a log that cannot be written is given up for the moment.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use super::log::RotatedLog;
use super::supervisor::Report;

/// Bytes of each of the log's two files.
const LOG_LIMIT: u64 = 1 << 20;
/// Pieces of output that a console may lag behind.
const LAG: usize = 64;
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
    pub(super) output: broadcast::Sender<Vec<u8>>,
    pub(super) input: mpsc::Sender<Vec<u8>>,
}

/// Serves the port at the other end of `channel`, logging to `log`; the first output is reported.
pub(super) fn serve(channel: OwnedFd, log: &Path, reports: mpsc::Sender<Report>) -> io::Result<Serial> {
    let stream = StdStream::from(channel);
    stream.set_nonblocking(true)?;
    let (reader, writer) = UnixStream::from_std(stream)?.into_split();
    let log = RotatedLog::open(log, LOG_LIMIT)?;
    let (output, _) = broadcast::channel(LAG);
    let (input, typed) = mpsc::channel(TYPED_AHEAD);
    tokio::spawn(type_in(writer, typed));
    let drained = tokio::spawn(drain(reader, log, output.clone(), reports));
    Ok(Serial { port: Port { output, input }, drained })
}

async fn drain(
    reader: OwnedReadHalf,
    mut log: RotatedLog,
    output: broadcast::Sender<Vec<u8>>,
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
        match log.append(piece) {
            Ok(()) => lost = false,
            Err(error) if !lost => {
                lost = true;
                tracing::error!(%error, "the serial console's log cannot be written; output is lost until it can");
            }
            Err(_) => {}
        }
        if output.receiver_count() > 0 {
            // Fails when the last console left just now.
            let _ = output.send(piece.to_vec());
        }
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
