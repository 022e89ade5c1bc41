//! Logs: lines for people on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Coloured lines.
    Human,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Chooses lines for people where standard error is a terminal, and JSON where it is not.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// Says whether `filter` is one that [`init`] understands.
///
/// # Errors
/// What is wrong with it.
pub fn check(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
}

/// Starts logging to standard error.
///
/// `filter` is in the syntax of `tracing_subscriber::EnvFilter`, for example `info,apiserver=debug`. A second call
/// changes nothing.
pub fn init(format: Format, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would tell of a log that cannot be written by printing, which panics on the same full disk.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE);
    let result = match format {
        Format::Human => builder.compact().try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    // A subscriber that is already there stays: logging works, which is all that was asked for.
    drop(result);
}
