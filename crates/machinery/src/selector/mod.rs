//! Selectors: which objects a list, a watch or a controller means.

mod field;
mod label;
mod parse;

pub use field::FieldSelector;
pub use label::{LabelSelector, Operator, Requirement};

use thiserror::Error;

/// Why a selector could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// The text breaks the grammar.
    #[error("unable to parse requirement: {0}")]
    Syntax(String),
    /// A key, a value or an operator breaks its rule.
    #[error("{0}")]
    Rule(String),
}
