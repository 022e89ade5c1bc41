//! Every type of the API that is served, and the documents that describe them.
//!
//! - [`kubevirt`], [`cdi`], [`backup`]: the types, generated from the facts in `facts/`;
//! - [`facts`]: the same facts at run time: which fields exist and what they may hold;
//! - [`crd`]: the `CustomResourceDefinition` documents;
//! - [`names`]: labels, annotations, finalizers, condition types, reasons and phases;
//! - [`quantity`]: amounts as users write them.

#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod backup;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod cdi;
pub mod crd;
pub mod facts;
#[allow(missing_docs, clippy::doc_markdown, reason = "generated; the API reference describes the fields")]
pub mod kubevirt;
pub mod names;
pub mod quantity;
