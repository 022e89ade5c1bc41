//! Structural schemas: what fields a kind has, their types, defaults, rules and merge behaviour.
//!
//! One [`Schema`] type serves the built-in kinds (definitions that refer to one another by name, read when first
//! needed) and custom resources (one inline document). Nodes are shared: equal parts of one document are stored
//! once, and named definitions once per [`Library`].
//!
//! A write passes these walks in this order:
//!
//! 1. [`Schema::type_error`] (built-in kinds): does every value have the JSON type of its field?
//! 2. [`Schema::prune`]: remove what the schema does not know, and tell the paths.
//! 3. [`Schema::default`]: drop nulls that mean "not set", fill in defaults.
//! 4. [`Schema::canonicalize`] (built-in kinds): quantities and times in canonical form, empty collections gone.
//! 5. [`Schema::validate`]: every rule, as field errors.

mod canonical;
mod defaults;
mod formats;
mod library;
mod nearest;
mod node;
mod parse;
mod pattern;
mod prune;
mod rules;
mod structural;
#[cfg(test)]
pub(crate) mod tests;
mod types;
mod validate;

pub use library::{Library, Schema};
pub use node::{ListKind, Strategy};
pub use parse::SchemaError;

pub(crate) use formats::holds as holds_format;
pub(crate) use node::{Child, List, Node, Object, Shape};
pub(crate) use types::shape_name;
