//! Texts, patterns and formatted output.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};

use super::super::EvalError;
use super::super::eval::Budget;
use super::super::toll::traversal;
use super::super::value::Value;
use super::{Answer, shown};

/// Bytes that a compiled pattern may take.
const PATTERN_SIZE: usize = 1 << 20;

fn text(text: impl Into<std::sync::Arc<str>>) -> Value {
    Value::String(text.into())
}

/// Patterns that a thread keeps compiled.
const PATTERNS_KEPT: usize = 16;

thread_local! {
    /// The patterns used last, the newest at the end. An expression asks with the same one for each item of a list, and its
    /// costs do not count the compilation.
    static PATTERNS: RefCell<Vec<(Box<str>, Regex)>> = const { RefCell::new(Vec::new()) };
}

fn pattern(source: &str) -> Result<Regex, EvalError> {
    let known = PATTERNS.with_borrow(|kept| {
        kept.iter().rev().find(|(text, _)| **text == *source).map(|(_, pattern)| pattern.clone())
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let built = RegexBuilder::new(source).size_limit(PATTERN_SIZE).build();
    let built = built.map_err(|_| EvalError::failed(format!("error parsing regexp: {source:?}")))?;
    PATTERNS.with_borrow_mut(|kept| {
        if kept.len() == PATTERNS_KEPT {
            kept.remove(0);
        }
        kept.push((source.into(), built.clone()));
    });
    Ok(built)
}

fn matches(subject: &str, source: &str) -> Result<Value, EvalError> {
    Ok(Value::Bool(pattern(source)?.is_match(subject)))
}

pub(super) fn function(name: &str, args: &[Value]) -> Answer {
    match (name, args) {
        ("matches", [Value::String(subject), Value::String(source)]) => Some(matches(subject, source)),
        ("strings.quote", [Value::String(subject)]) => Some(Ok(text(format!("{subject:?}")))),
        _ => None,
    }
}

pub(super) fn method(name: &str, args: &[Value], budget: &Budget) -> Answer {
    let Some((Value::String(subject), rest)) = args.split_first() else { return None };
    let count = |n: &i64| usize::try_from(*n).ok();
    Some(match (name, rest) {
        ("size", []) => Ok(Value::Int(subject.chars().count() as i64)),
        ("startsWith", [Value::String(part)]) => Ok(Value::Bool(subject.starts_with(&**part))),
        ("endsWith", [Value::String(part)]) => Ok(Value::Bool(subject.ends_with(&**part))),
        ("contains", [Value::String(part)]) => Ok(Value::Bool(subject.contains(&**part))),
        ("matches", [Value::String(source)]) => matches(subject, source),
        ("lowerAscii", []) => Ok(text(subject.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(text(subject.to_ascii_uppercase())),
        ("trim", []) => Ok(text(subject.trim())),
        ("reverse", []) => Ok(text(subject.chars().rev().collect::<String>())),
        ("charAt", [Value::Int(at)]) => {
            let length = subject.chars().count();
            match count(at).filter(|at| *at <= length) {
                Some(at) => Ok(text(subject.chars().skip(at).take(1).collect::<String>())),
                None => Err(EvalError::failed(format!("index out of range: {at}"))),
            }
        }
        ("indexOf", [Value::String(part)]) => Ok(Value::Int(find(subject, part, 0))),
        ("indexOf", [Value::String(part), Value::Int(from)]) => match count(from) {
            Some(from) if from <= subject.chars().count() => Ok(Value::Int(find(subject, part, from))),
            _ => Err(EvalError::failed(format!("index out of range: {from}"))),
        },
        ("lastIndexOf", [Value::String(part)]) => {
            let at = subject.rfind(&**part).map(|at| subject[..at].chars().count() as i64);
            Ok(Value::Int(at.unwrap_or(-1)))
        }
        ("substring", [Value::Int(start)]) => substring(subject, *start, subject.chars().count() as i64),
        ("substring", [Value::Int(start), Value::Int(end)]) => substring(subject, *start, *end),
        ("replace", [Value::String(from), Value::String(to)]) => replace(subject, from, to, -1, budget),
        ("replace", [Value::String(from), Value::String(to), Value::Int(times)]) => {
            replace(subject, from, to, *times, budget)
        }
        ("split", [Value::String(by)]) => Ok(split(subject, by, -1)),
        ("split", [Value::String(by), Value::Int(most)]) => Ok(split(subject, by, *most)),
        ("find", [Value::String(source)]) => {
            pattern(source).map(|pattern| text(pattern.find(subject).map_or("", |found| found.as_str())))
        }
        ("findAll", [Value::String(source)]) => find_all(subject, source, i64::MAX),
        ("findAll", [Value::String(source), Value::Int(most)]) => {
            find_all(subject, source, if *most < 0 { i64::MAX } else { *most })
        }
        ("format", [Value::List(values)]) => format(subject, values, budget),
        _ => return None,
    })
}

fn find(subject: &str, part: &str, from: usize) -> i64 {
    let start = subject.char_indices().nth(from).map_or(subject.len(), |(at, _)| at);
    match subject[start..].find(part) {
        Some(at) => (from + subject[start..start + at].chars().count()) as i64,
        None => -1,
    }
}

fn substring(subject: &str, start: i64, end: i64) -> Result<Value, EvalError> {
    let length = subject.chars().count() as i64;
    if start < 0 || start > length || end < 0 || end > length {
        let at = if (0..=length).contains(&start) { end } else { start };
        return Err(EvalError::failed(format!("index out of range: {at}")));
    }
    if end < start {
        return Err(EvalError::failed(format!("invalid substring range. start: {start}, end: {end}")));
    }
    Ok(text(subject.chars().skip(start as usize).take((end - start) as usize).collect::<String>()))
}

fn replace(subject: &str, from: &str, to: &str, times: i64, budget: &Budget) -> Result<Value, EvalError> {
    let found = subject.matches(from).count();
    let times = usize::try_from(times).unwrap_or(found).min(found);
    budget.take((subject.len() + times * to.len()) as u64 / 10)?;
    Ok(text(subject.replacen(from, to, times)))
}

fn split(subject: &str, by: &str, most: i64) -> Value {
    let parts: Vec<String> = match (most, by) {
        (0, _) => Vec::new(),
        (_, "") => {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let mut parts: Vec<String> =
                subject.chars().take(most.saturating_sub(1)).map(String::from).collect();
            let rest: String = subject.chars().skip(most.saturating_sub(1)).collect();
            if !rest.is_empty() {
                parts.push(rest);
            }
            parts
        }
        (most, by) if most > 0 => subject.splitn(most as usize, by).map(str::to_owned).collect(),
        _ => subject.split(by).map(str::to_owned).collect(),
    };
    Value::list(parts.into_iter().map(text).collect())
}

fn find_all(subject: &str, source: &str, most: i64) -> Result<Value, EvalError> {
    let pattern = pattern(source)?;
    let found = pattern.find_iter(subject).take(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(Value::list(found.map(|found| text(found.as_str())).collect()))
}

/// `"%s has %d".format([..])`.
fn format(subject: &str, values: &[Value], budget: &Budget) -> Result<Value, EvalError> {
    let (mut out, mut values, mut chars) = (String::new(), values.iter(), subject.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = Some(digits.parse::<usize>().unwrap_or(0).min(100));
        }
        let verb = chars.next().ok_or_else(|| EvalError::failed("unexpected end of format string"))?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| EvalError::failed("index out of range: too few values"))?;
        let wrong = || {
            let name = value.type_name();
            EvalError::failed(format!("%{verb} does not take a value of type {name}"))
        };
        budget.take(traversal(value.count()))?;
        let digits = precision.unwrap_or(6);
        let float = match value {
            Value::Double(n) => Some(*n),
            Value::Int(n) => Some(*n as f64),
            Value::Uint(n) => Some(*n as f64),
            _ => None,
        };
        match (verb, value) {
            ('s', value) => out.push_str(&shown(value)),
            ('d', Value::Int(_) | Value::Uint(_)) => out.push_str(&shown(value)),
            ('f', _) => out.push_str(&format!("{:.*}", digits, float.ok_or_else(wrong)?)),
            ('e', _) => out.push_str(&format!("{:.*e}", digits, float.ok_or_else(wrong)?)),
            ('b', Value::Int(n)) => out.push_str(&format!("{n:b}")),
            ('b', Value::Uint(n)) => out.push_str(&format!("{n:b}")),
            ('b', Value::Bool(b)) => out.push(if *b { '1' } else { '0' }),
            ('o', Value::Int(n)) => out.push_str(&format!("{n:o}")),
            ('x', Value::Int(n)) => out.push_str(&format!("{n:x}")),
            ('X', Value::Int(n)) => out.push_str(&format!("{n:X}")),
            ('x' | 'X', Value::String(_) | Value::Bytes(_)) => {
                let bytes = match value {
                    Value::Bytes(bytes) => bytes.to_vec(),
                    other => shown(other).into_bytes(),
                };
                for byte in bytes {
                    let hex = if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                    out.push_str(&hex);
                }
            }
            _ => return Err(wrong()),
        }
    }
    Ok(text(out))
}
