//! The functions that expressions can call: CEL's own and those that Kubernetes adds. A family is a file.

mod authorizer;
mod convert;
mod cost;
pub(super) mod estimate;
mod kubernetes;
mod lists;
mod network;
mod strings;
mod time;

use super::EvalError;
use super::eval::{Activation, Budget};
use super::value::Value;

pub(super) use crate::duration::parse as parse_duration;
pub use authorizer::Checked;
pub(super) use convert::{decoded, shown, type_named, unescaped};
pub use kubernetes::Semver;
pub use network::Url;

/// What a family says of a call: nothing if it has no such function for such values.
pub(super) type Answer = Option<Result<Value, EvalError>>;

/// The whole name of a function that is written with a dot.
pub(super) fn qualified(space: &str, name: &str) -> Option<&'static str> {
    Some(match (space, name) {
        ("optional", "of") => "optional.of",
        ("optional", "none") => "optional.none",
        ("optional", "ofNonZeroValue") => "optional.ofNonZeroValue",
        ("ip", "isCanonical") => "ip.isCanonical",
        ("format", "named") => "format.named",
        ("format", name) => return kubernetes::format_function(name),
        ("math", "greatest") => "math.greatest",
        ("math", "least") => "math.least",
        ("math", "abs") => "math.abs",
        ("math", "ceil") => "math.ceil",
        ("math", "floor") => "math.floor",
        ("math", "round") => "math.round",
        ("sets", "contains") => "sets.contains",
        ("sets", "equivalent") => "sets.equivalent",
        ("sets", "intersects") => "sets.intersects",
        ("strings", "quote") => "strings.quote",
        ("base64", "encode") => "base64.encode",
        ("base64", "decode") => "base64.decode",
        _ => return None,
    })
}

/// Calls `name`. With `method`, the first value is the one before the dot.
pub(super) fn call(
    name: &str,
    method: bool,
    args: &[Value],
    activation: &dyn Activation,
    budget: &Budget,
) -> Result<Value, EvalError> {
    budget.take(cost::of_call(name, method, args))?;
    let answer = if method {
        strings::method(name, args, budget)
            .or_else(|| lists::method(name, args, budget))
            .or_else(|| time::method(name, args))
            .or_else(|| network::method(name, args))
            .or_else(|| kubernetes::method(name, args))
            .or_else(|| convert::method(name, args))
            .or_else(|| authorizer::method(name, args, activation))
    } else {
        convert::function(name, args)
            .or_else(|| lists::function(name, args, budget))
            .or_else(|| strings::function(name, args))
            .or_else(|| network::function(name, args))
            .or_else(|| kubernetes::function(name, args))
    };
    answer.unwrap_or_else(|| Err(EvalError::no_overload()))
}
