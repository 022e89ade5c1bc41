//! What commands print. A reader who has gone, as `ironclad status | head` leaves one, is no failure, and stops no work.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _, stdout};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

/// Why a line could not be printed, the first time that this happened.
static FAILURE: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints `text` and ends the line.
pub(crate) fn line(text: Arguments<'_>) {
    keep(writeln!(stdout(), "{text}"));
}

/// Prints `text` as it is.
pub(crate) fn text(text: &[u8]) {
    keep(stdout().write_all(text));
}

/// Tells, once a command is done, whether all that it said could be printed.
///
/// # Errors
/// When standard output could not be written, for another reason than that nobody reads it.
pub(crate) fn outcome() -> Result<()> {
    keep(stdout().flush());
    match FAILURE.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(std::io::Error::from(error.kind())).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

fn keep(written: std::io::Result<()>) {
    if let Err(error) = written {
        // The first failure explains those that follow.
        drop(FAILURE.set(error));
    }
}
