//! Everything a component needs to live with a Kubernetes API server, and the only place that names kube's client.
//!
//! | to | use |
//! |---|---|
//! | read and write objects | [`Api`], of a whole type or of a view that keeps a few fields |
//! | follow a kind of object | [`Cache`]: list, watch, recover, keep a projection, tell what changed |
//! | decide what to look at next | [`Queue`] and [`work`]: no duplicates, delays, back-off per key |
//! | tell users what happened | [`Recorder`]: Events that are counted instead of repeated |
//! | be the only one at work | [`Election`]: a Lease |
//!
//! Nothing here spawns. A component gathers its futures in [`Tasks`] and is itself one future, so that whoever
//! runs it decides where, and dropping it is the same as killing it. Time and randomness come in by [`Context`].

mod allowance;
mod api;
mod cache;
mod connect;
mod context;
mod discover;
mod election;
mod error;
mod event;
mod key;
mod kinds;
mod meta;
mod queue;
mod resource;
mod tasks;
mod views;
mod watch;
mod work;

pub use kube::Client;

pub use self::api::{Api, Delete, List, Patch, Propagation, Select};
pub use self::cache::{Builder, Cache, Change};
pub use self::connect::{ConnectError, connect, connect_as, container_log, in_process};
pub use self::context::Context;
pub use self::discover::{Discovered, discover};
pub use self::election::{Election, ElectionConfig};
pub use self::error::{ApiError, Problem};
pub use self::event::{ObjectRef, Recorder, Severity};
pub use self::key::Key;
pub use self::meta::{Document, Meta, Owner, PartialObject};
pub use self::queue::{Backoff, Queue};
pub use self::resource::{Kind, Resource, resources};
pub use self::tasks::Tasks;
pub use self::watch::{Event, follow};
pub use self::work::work;
