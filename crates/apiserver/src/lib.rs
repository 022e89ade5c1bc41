//! The embedded Kubernetes API server.
//!
//! A request passes these stations, one module each:
//!
//! - [`serve`] accepts connections; [`auth`] finds out who asks (an [`Identity`](machinery::admission::UserInfo) in
//!   the request's extensions) and whether they may, by the attributes that [`request`] reads from method and path;
//! - `flow` lets it wait while others of its kind are too many;
//! - [`route`] sends it on: to [`discovery`] and [`openapi`], to health and version, by [`aggregation`] to other programs, or to
//! - [`resource`], the one generic path for all kinds, which consults the [`registry`] of kinds, runs [`admission`],
//!   writes to the store and reads from the [`cache`];
//! - [`table`] turns answers into tables when the client asks for them, and `encoding` translates them into YAML and
//!   [`protobuf`].
//!
//! In-process callers take the same way behind [`ApiServer::in_process`].

pub mod admission;
pub mod aggregation;
pub mod audit;
pub mod auth;
pub mod body;
pub mod cache;
mod conversion;
pub mod discovery;
mod encoding;
pub mod extension;
mod flow;
mod health;
mod housekeeping;
pub mod in_process;
pub mod metrics;
pub mod node;
pub mod openapi;
mod peer;
pub mod protobuf;
pub mod registry;
pub mod request;
pub mod resource;
pub mod route;
pub mod serve;
pub mod server;
pub mod table;

pub use body::Body;
pub use in_process::InProcess;
pub use resource::Initial;
pub use server::{ApiServer, Builder};

/// A refusal: what the client is told instead of an answer.
pub type Refusal = Box<machinery::status::Status>;

/// The result of handling a request.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;
