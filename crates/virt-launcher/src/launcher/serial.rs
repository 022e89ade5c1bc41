//! The serial port: always drained, into a bounded log and to whoever watches.
//!
//! A full channel would stall the guest, so nothing here waits for a reader: a console that falls far behind loses output
//! ([`Output`]), and a log that cannot be written is given up for the moment.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::log::{self, RotatedLog};
use super::output::{Output, SCROLLBACK};
use super::supervisor::Report;

/// Bytes of each of the log's two files.
const LOG_LIMIT: u64 = 1 << 20;
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
    pub(super) output: Output,
    pub(super) input: mpsc::Sender<Vec<u8>>,
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
    let output = Output::after(log.map(|log| log::last(log, SCROLLBACK)).unwrap_or_default());
    let log = log.map(|log| RotatedLog::open(log, LOG_LIMIT)).transpose()?;
    let (input, typed) = mpsc::channel(TYPED_AHEAD);
    tokio::spawn(type_in(writer, typed));
    let port = Port { output, input };
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
        port.output.add(piece);
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
