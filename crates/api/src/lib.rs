//! Every type of the API that is served, and the documents that describe them.
//!
//! - [`kubevirt`], [`instancetype`], [`pool`], [`migrations`], [`snapshot`], [`export`](mod@export), [`clone`](mod@clone),
//!   [`backup`], [`cdi`]: the types, generated from the facts in `facts/`;
//! - [`facts`]: the same facts at run time: which fields exist and what they may hold;
//! - [`crd`]: the `CustomResourceDefinition` documents;
//! - [`names`]: labels, annotations, finalizers, condition types, reasons and phases;
//! - [`quantity`]: amounts as users write them.

#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod backup;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod cdi;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod clone;
pub mod crd;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod export;
pub mod facts;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod instancetype;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod kubevirt;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod migrations;
pub mod names;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod pool;
pub mod quantity;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod snapshot;
