//! What commands print. A reader who has gone, as `virtctl guestosinfo VM | head` leaves one, is no failure.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _, stdout};

use anyhow::{Context as _, Result};

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints `text` and ends the line. What is done is done, whether somebody reads of it or not.
pub(crate) fn line(text: Arguments<'_>) {
    drop(writeln!(stdout(), "{text}"));
}

/// Prints `text` as it is. What is done is done here, too.
pub(crate) fn part(text: Arguments<'_>) {
    drop(stdout().write_fmt(text).and_then(|()| stdout().flush()));
}

/// Prints a document, which is all that the command is for.
///
/// # Errors
/// When it could not be written, for another reason than that nobody reads it.
pub(crate) fn document(text: &[u8]) -> Result<()> {
    match stdout().write_all(text).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}
