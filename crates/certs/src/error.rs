//! What can go wrong with certificates and keys.

use std::path::PathBuf;

/// The failure of an operation with certificates.
#[allow(clippy::error_impl_error, reason = "the one error of the crate, named by its path")]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot issue the certificate of {subject}")]
    Issue {
        /// Common name of the certificate.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A certificate or key is not what it should be.
    #[error("{what} is unreadable ({detail}); remove it to have a new one made, or restore it from a backup")]
    Unreadable {
        /// What was read.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file of the pair exists and the other does not.
    #[error("{missing} is missing beside {present}; restore it, or remove both to have new ones made")]
    HalfPair {
        /// The file that exists.
        present: PathBuf,
        /// The file that does not.
        missing: PathBuf,
    },
    /// A TLS configuration could not be made.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A key could not be generated.
    #[error("cannot generate a key")]
    Key,
}
