//! The messages of the descriptor socket.
//!
//! One message is a header with as many descriptors beside it as it has names. A batch larger than fits into
//! one spans several messages (`more`). The launcher answers the last one with a token, or with a reason.

use serde::{Deserialize, Serialize};

/// Descriptors in one message.
pub(crate) const PER_MESSAGE: usize = 64;
/// Descriptors in one batch: a machine with more disks than this is refused.
pub(crate) const PER_BATCH: usize = 1024;

/// Header of one message to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) secret: Vec<u8>,
    pub(crate) names: Vec<String>,
    /// Whether another message of the same batch follows.
    pub(crate) more: bool,
}

/// The launcher's answer to a whole batch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    Token(String),
    Refused(String),
}
