//! `virtctl options`

use crate::cli;

/// Prints the flags that every command has.
pub(crate) fn run() {
    println!("The following options can be passed to any command:\n\n{}", cli::global_flags());
}
