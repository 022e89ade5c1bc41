//! `virtctl options`

use crate::cli;
use crate::say::say;

/// Prints the flags that every command has.
pub(crate) fn run() {
    say!("The following options can be passed to any command:\n\n{}", cli::global_flags());
}
