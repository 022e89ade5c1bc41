//! Kubernetes mechanics as data and pure functions: no I/O, no clock, no randomness.
//!
//! What an API server, a controller or a client needs to agree on about objects in general, whatever their
//! kind: how they are named, selected, patched, owned field by field, described by schemas, and how a
//! refusal is worded. Objects are `serde_json::Value`s throughout; typed views live in other crates.

pub mod admission;
pub mod apply;
pub mod cel;
pub mod condition;
pub mod duration;
pub mod field;
pub mod gvk;
mod keyed;
pub mod names;
pub mod object;
pub mod patch;
pub mod quantity;
pub mod rules;
pub mod schedule;
pub mod schema;
pub mod selector;
pub mod status;
