//! What operators do with values.

use std::cmp::Ordering;

use super::EvalError;
use super::ast::Operator;
use super::eval::Budget;
use super::toll::traversal;
use super::value::{Key, Value};

type Outcome = Result<Value, EvalError>;

/// Applies an operator other than `&&` and `||`.
pub(super) fn binary(operator: Operator, left: Value, right: Value, budget: &Budget) -> Outcome {
    match operator {
        Operator::Equal | Operator::NotEqual => {
            budget.take(comparison(&left, &right))?;
            Ok(Value::Bool((left == right) == (operator == Operator::Equal)))
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            budget.take(comparison(&left, &right))?;
            order(operator, &left, &right)
        }
        Operator::In => contains(&left, &right, budget),
        Operator::Add => add(left, right, budget),
        _ => {
            budget.take(1)?;
            arithmetic(operator, left, right)
        }
    }
}

/// Going through the shorter one.
fn comparison(left: &Value, right: &Value) -> u64 {
    traversal(left.count().min(right.count()))
}

fn order(operator: Operator, left: &Value, right: &Value) -> Outcome {
    let number = |value: &Value| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    let Some(order) = left.compare(right) else {
        // Not a number is neither less nor greater.
        return if number(left) && number(right) {
            Ok(Value::Bool(false))
        } else {
            Err(EvalError::no_overload())
        };
    };
    Ok(Value::Bool(match operator {
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

fn contains(item: &Value, range: &Value, budget: &Budget) -> Outcome {
    match range {
        Value::List(items) => {
            budget.take(items.len() as u64)?;
            Ok(Value::Bool(items.contains(item)))
        }
        Value::Map(entries) => {
            budget.take(1)?;
            Ok(Value::Bool(Key::of(item).is_some_and(|key| entries.contains_key(&key))))
        }
        _ => Err(EvalError::no_overload()),
    }
}

fn add(left: Value, right: Value, budget: &Budget) -> Outcome {
    let texts =
        matches!((&left, &right), (Value::String(_), Value::String(_)) | (Value::Bytes(_), Value::Bytes(_)));
    budget.take(if texts { traversal(left.count() + right.count()) } else { 1 })?;
    Ok(match (left, right) {
        (Value::String(a), Value::String(b)) => Value::String(format!("{a}{b}").into()),
        (Value::Bytes(a), Value::Bytes(b)) => Value::Bytes([&*a, &*b].concat().into()),
        (Value::List(a), Value::List(b)) => Value::List(a.joined(&b)),
        (Value::Timestamp(time), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(time)) => {
            Value::Timestamp(time.checked_add(span).map_err(|_| overflow("timestamp"))?)
        }
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_add(b).ok_or_else(|| overflow("duration"))?)
        }
        (left, right) => return arithmetic(Operator::Add, left, right),
    })
}

fn overflow(what: &str) -> EvalError {
    EvalError::failed(format!("{what} overflow"))
}

fn arithmetic(operator: Operator, left: Value, right: Value) -> Outcome {
    let by_zero = || match operator {
        Operator::Modulo => EvalError::failed("modulus by zero"),
        _ => EvalError::failed("division by zero"),
    };
    let divides = matches!(operator, Operator::Divide | Operator::Modulo);
    match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) if divides => Err(by_zero()),
        (Value::Int(a), Value::Int(b)) => {
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            result.map(Value::Int).ok_or_else(|| overflow("integer"))
        }
        (Value::Uint(a), Value::Uint(b)) => {
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            result.map(Value::Uint).ok_or_else(|| overflow("unsigned integer"))
        }
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
            _ => return Err(EvalError::no_overload()),
        })),
        (Value::Timestamp(a), Value::Timestamp(b)) if operator == Operator::Subtract => {
            Ok(Value::Duration(a.duration_since(b)))
        }
        (Value::Timestamp(time), Value::Duration(span)) if operator == Operator::Subtract => {
            time.checked_sub(span).map(Value::Timestamp).map_err(|_| overflow("timestamp"))
        }
        (Value::Duration(a), Value::Duration(b)) if operator == Operator::Subtract => {
            a.checked_sub(b).map(Value::Duration).ok_or_else(|| overflow("duration"))
        }
        _ => Err(EvalError::no_overload()),
    }
}

/// The opposite number.
pub(super) fn negate(value: Value) -> Outcome {
    match value {
        Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(|| overflow("integer")),
        Value::Double(n) => Ok(Value::Double(-n)),
        _ => Err(EvalError::no_overload()),
    }
}
