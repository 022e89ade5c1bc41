//! What commands print. A reader who has gone, as `virtctl guestosinfo VM | head` leaves one, is no failure.

use std::fmt::Arguments;
use std::io::{Write as _, stdout};

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints `text` and ends the line. What is done is done, whether somebody reads of it or not.
pub(crate) fn line(text: Arguments<'_>) {
    drop(writeln!(stdout(), "{text}"));
}
