//! The Common Expression Language as Kubernetes uses it: admission policies and match conditions.
//!
//! An expression is read and checked once ([`Program::compile`]) and then evaluated often, each time against a budget of
//! steps that no expression can exceed ([`Budget`]): a rule that somebody wrote cannot hold the server up. There is no
//! I/O here; what an expression may look at comes in through [`Activation`].

mod ast;
mod check;
mod declared;
mod estimate;
mod eval;
mod functions;
mod lexer;
mod list;
mod macros;
mod operators;
mod parse;
#[cfg(test)]
mod tests;
mod toll;
mod types;
mod value;

use std::sync::Arc;

pub use check::Scope;
pub use declared::{Declared, Form};
pub use eval::{Activation, Budget, Question};
pub use functions::{Checked, Semver, Url};
pub use list::{Identity, List};
pub use types::Type;
pub use value::{Key, Value};

/// Most bytes of one expression.
pub const MAX_LENGTH: usize = 64 << 10;
/// What one evaluation of one expression may cost: Kubernetes' limit, in its units.
pub const CALL_BUDGET: u64 = 1_000_000;

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERROR: <input>:{line}:{column}: {message}\n | {text}\n | {}^", ".".repeat(column.saturating_sub(1)))]
pub struct CompileError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
    /// The line's text.
    pub text: String,
}

impl CompileError {
    fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            text: source[line_start..].lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// Why an evaluation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The values do not fit the expression.
    #[error("{0}")]
    Failed(String),
    /// The budget is used up. No operator hides this one.
    #[error("operation cancelled: actual cost limit exceeded")]
    Budget,
}

impl EvalError {
    fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    fn no_overload() -> Self {
        Self::failed("no such overload")
    }
}

/// A checked expression. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Program {
    source: Arc<str>,
    root: Arc<ast::Expr>,
    output: Type,
}

impl Program {
    /// Reads and checks `source`; `scope` says which names there are.
    ///
    /// # Errors
    /// Says where the text is no expression, names what does not exist, or applies a function to what it does not take.
    pub fn compile(source: &str, scope: &Scope) -> Result<Self, CompileError> {
        if source.len() > MAX_LENGTH {
            let message = format!("the expression is longer than {MAX_LENGTH} bytes");
            return Err(CompileError::at(source, 0, message));
        }
        let root = parse::parse(source)?;
        let output = check::check(source, &root, scope)?;
        Ok(Self { source: source.into(), root: Arc::new(root), output })
    }

    /// The text that it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of the result as far as it is known.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Whether the expression looks at the variable `name`.
    pub fn mentions(&self, name: &str) -> bool {
        self.root.mentions(name)
    }

    /// The most that an evaluation can cost where `root` says what `self` and `oldSelf` may be.
    pub fn most(&self, scope: &Scope, root: &Arc<Declared>) -> u64 {
        estimate::most(&self.root, &check::types(&self.source, &self.root, scope), root)
    }

    /// Evaluates the expression; what it costs is taken from `budget`.
    ///
    /// # Errors
    /// Fails when the values do not fit, and when the budget does not last.
    pub fn evaluate(&self, activation: &dyn Activation, budget: &Budget) -> Result<Value, EvalError> {
        let (result, cost) = self.measure(activation, budget.left());
        budget.take(cost)?;
        result
    }

    /// Evaluates the expression, and tells what that cost. `most` ends it when less than one call's limit.
    pub fn measure(&self, activation: &dyn Activation, most: u64) -> (Result<Value, EvalError>, u64) {
        let call = Budget::new(CALL_BUDGET.min(most));
        let result = eval::evaluate(&self.root, activation, &call);
        (result, call.used())
    }
}
