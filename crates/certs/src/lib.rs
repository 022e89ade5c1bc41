//! Certificates and keys of an installation: its authority, what the authority issues, and token signatures.
//!
//! Everything is ECDSA on P-256. Private keys are written readable by their owner only. The time comes from the
//! caller; randomness for keys comes from the operating system and from nowhere else.

mod authority;
mod error;
mod files;
mod request;
mod rotation;
mod signing;
mod tls;

pub use authority::{Authority, Issued, Profile, Usage};
pub use error::Error;
pub use request::{CertificateRequest, RequestError, is_certificate_chain};
pub use rotation::{Rotating, due};
pub use signing::{SigningKey, VerifyingKey};
pub use tls::{client_config, provider, server_config, server_config_with_bundle};

/// The result of an operation with certificates.
pub type Result<T, E = Error> = std::result::Result<T, E>;
