//! What the targets make their inputs of.
//!
//! Bytes that a fuzzer chooses become documents over a small alphabet, so that two of them have much in common: patches
//! then hit what they patch, and schemas what they describe.

pub mod document;
pub mod plan;
pub mod sample;

pub use document::Document;
pub use plan::Plan;
