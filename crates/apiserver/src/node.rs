//! What the API server asks of the nodes: container logs.

use machinery::status::Status;
use serde_json::Value;

use crate::{Body, Result};

/// What a client wants of a container's log; the query parameters of the `log` subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Container name; already resolved, never empty.
    pub container: String,
    /// Keep sending as the log grows.
    pub follow: bool,
    /// The log of the container's previous run.
    pub previous: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only lines of the last seconds.
    pub since_seconds: Option<u64>,
    /// Only lines after this time (RFC 3339).
    pub since_time: Option<String>,
    /// Begin each line with its time.
    pub timestamps: bool,
}

/// The way from the API server to the nodes' agents.
#[async_trait::async_trait]
pub trait NodeProxy: Send + Sync + std::fmt::Debug {
    /// Returns a container's log as plain text, streamed when `follow` is set.
    ///
    /// # Errors
    /// Refuses as the client shall be told: the container does not exist, or has not started.
    async fn logs(&self, pod: &Value, options: &LogOptions) -> Result<Body>;
}

/// The proxy of a server without nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNodes;

#[async_trait::async_trait]
impl NodeProxy for NoNodes {
    async fn logs(&self, _pod: &Value, _options: &LogOptions) -> Result<Body> {
        Err(Status::unavailable("this server has no node that runs containers").into())
    }
}
