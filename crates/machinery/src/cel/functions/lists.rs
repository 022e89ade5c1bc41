//! Lists, maps and sets, and the least and greatest of numbers.

use std::cmp::Ordering;

use super::super::EvalError;
use super::super::eval::Budget;
use super::super::value::Value;
use super::{Answer, shown};

pub(super) fn function(name: &str, args: &[Value], budget: &Budget) -> Answer {
    Some(match (name, args) {
        ("size", [Value::String(_)]) => return super::strings::method("size", args, budget),
        ("size", [Value::Bytes(bytes)]) => Ok(Value::Int(bytes.len() as i64)),
        ("size", [Value::List(_) | Value::Map(_)]) => return method("size", args, budget),
        ("sets.contains", [Value::List(a), Value::List(b)]) => Ok(Value::Bool(subset(b, a))),
        ("sets.equivalent", [Value::List(a), Value::List(b)]) => {
            Ok(Value::Bool(subset(a, b) && subset(b, a)))
        }
        ("sets.intersects", [Value::List(a), Value::List(b)]) => {
            Ok(Value::Bool(a.iter().any(|item| b.contains(item))))
        }
        ("math.greatest", [Value::List(items)]) => extreme(items, Ordering::Greater),
        ("math.least", [Value::List(items)]) => extreme(items, Ordering::Less),
        ("math.greatest", items) if !items.is_empty() => extreme(items, Ordering::Greater),
        ("math.least", items) if !items.is_empty() => extreme(items, Ordering::Less),
        ("math.abs", [Value::Int(n)]) => {
            n.checked_abs().map(Value::Int).ok_or_else(|| EvalError::failed("integer overflow"))
        }
        ("math.abs", [Value::Uint(n)]) => Ok(Value::Uint(*n)),
        ("math.abs", [Value::Double(n)]) => Ok(Value::Double(n.abs())),
        ("math.ceil", [Value::Double(n)]) => Ok(Value::Double(n.ceil())),
        ("math.floor", [Value::Double(n)]) => Ok(Value::Double(n.floor())),
        ("math.round", [Value::Double(n)]) => Ok(Value::Double(n.round())),
        _ => return None,
    })
}

fn subset(part: &[Value], whole: &[Value]) -> bool {
    part.iter().all(|item| whole.contains(item))
}

fn extreme(items: &[Value], wanted: Ordering) -> Result<Value, EvalError> {
    let mut items = items.iter();
    let mut best = items.next().ok_or_else(|| EvalError::failed("list must not be empty"))?;
    for item in items {
        match item.compare(best) {
            Some(order) if order == wanted => best = item,
            Some(_) => {}
            None => return Err(EvalError::no_overload()),
        }
    }
    Ok(best.clone())
}

pub(super) fn method(name: &str, args: &[Value], budget: &Budget) -> Answer {
    let (first, rest) = args.split_first()?;
    let items = match (first, name, rest) {
        (Value::Map(entries), "size", []) => return Some(Ok(Value::Int(entries.len() as i64))),
        (Value::Bytes(bytes), "size", []) => return Some(Ok(Value::Int(bytes.len() as i64))),
        (Value::List(items), _, _) => items,
        _ => return None,
    };
    let found = |at: Option<usize>| Ok(Value::Int(at.map_or(-1, |at| at as i64)));
    Some(match (name, rest) {
        ("size", []) => Ok(Value::Int(items.len() as i64)),
        ("isSorted", []) => ordered(items).map(Value::Bool),
        ("sum", []) => sum(items, budget),
        ("min", []) => extreme(items, Ordering::Less),
        ("max", []) => extreme(items, Ordering::Greater),
        ("indexOf", [item]) => found(items.iter().position(|other| other == item)),
        ("lastIndexOf", [item]) => found(items.iter().rposition(|other| other == item)),
        ("first", []) => Ok(items.first().map_or(Value::Optional(None), |item| Value::some(item.clone()))),
        ("last", []) => Ok(items.last().map_or(Value::Optional(None), |item| Value::some(item.clone()))),
        ("reverse", []) => Ok(Value::list(items.iter().rev().cloned().collect())),
        ("sort", []) => ordered(items).map(|_| {
            let mut sorted = items.to_vec();
            sorted.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
            Value::list(sorted)
        }),
        ("distinct", []) => {
            let mut kept: Vec<Value> = Vec::new();
            for item in items.iter() {
                if !kept.contains(item) {
                    kept.push(item.clone());
                }
            }
            Ok(Value::list(kept))
        }
        ("slice", [Value::Int(start), Value::Int(end)]) => slice(items, *start, *end),
        ("flatten", []) => Ok(flatten(items, 1)),
        ("flatten", [Value::Int(depth)]) if *depth >= 0 => Ok(flatten(items, (*depth).min(100))),
        ("join", []) => join(items, ""),
        ("join", [Value::String(between)]) => join(items, between),
        _ => return None,
    })
}

fn ordered(items: &[Value]) -> Result<bool, EvalError> {
    let mut sorted = true;
    for pair in items.windows(2) {
        let order = pair[0].compare(&pair[1]).ok_or_else(EvalError::no_overload)?;
        sorted &= order != Ordering::Greater;
    }
    Ok(sorted)
}

fn sum(items: &[Value], budget: &Budget) -> Result<Value, EvalError> {
    let mut items = items.iter().cloned();
    let Some(mut total) = items.next() else { return Ok(Value::Int(0)) };
    for item in items {
        total = super::super::operators::binary(super::super::ast::Operator::Add, total, item, budget)?;
    }
    Ok(total)
}

fn slice(items: &[Value], start: i64, end: i64) -> Result<Value, EvalError> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    match range.and_then(|(start, end)| items.get(start..end)) {
        Some(part) => Ok(Value::list(part.to_vec())),
        None => {
            Err(EvalError::failed(format!("cannot slice({start}, {end}), list is length {}", items.len())))
        }
    }
}

fn flatten(items: &[Value], depth: i64) -> Value {
    let mut flat = Vec::new();
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => match flatten(inner, depth - 1) {
                Value::List(inner) => flat.extend(inner.iter().cloned()),
                other => flat.push(other),
            },
            other => flat.push(other.clone()),
        }
    }
    Value::list(flat)
}

fn join(items: &[Value], between: &str) -> Result<Value, EvalError> {
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        let Value::String(_) = item else { return Err(EvalError::no_overload()) };
        texts.push(shown(item));
    }
    Ok(Value::String(texts.join(between).into()))
}
