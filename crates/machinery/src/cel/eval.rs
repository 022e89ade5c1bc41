//! Evaluates an expression: a walk over its tree that pays for every step.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::EvalError;
use super::ast::{Bind, Each, Expr, Gather, Kind, Operator};
use super::functions::{self, unescaped};
use super::operators;
use super::toll;
use super::value::{Key, Value};

/// Steps that may still be taken.
#[derive(Debug)]
pub struct Budget {
    left: Cell<u64>,
    all: u64,
}

impl Budget {
    /// A budget of `steps`.
    pub fn new(steps: u64) -> Self {
        Self { left: Cell::new(steps), all: steps }
    }

    /// Steps left.
    pub fn left(&self) -> u64 {
        self.left.get()
    }

    pub(super) fn used(&self) -> u64 {
        self.all - self.left.get()
    }

    /// Takes steps away.
    pub(super) fn take(&self, steps: u64) -> Result<(), EvalError> {
        if let Some(left) = self.left.get().checked_sub(steps) {
            self.left.set(left);
            return Ok(());
        }
        self.left.set(0);
        Err(EvalError::Budget)
    }
}

/// A question to the authoriser, built up by calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Path of a request for no resource.
    pub path: Option<String>,
    /// Account in whose place is asked: namespace and name.
    pub account: Option<(String, String)>,
    /// API group.
    pub group: Option<String>,
    /// Resource.
    pub resource: Option<String>,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Verb, once it is asked.
    pub verb: String,
}

/// What an expression may look at.
pub trait Activation {
    /// The value of a variable.
    fn variable(&self, name: &str) -> Option<Value>;

    /// A field of a variable whose fields are computed when they are first looked at; nothing for all other variables.
    fn member(&self, variable: &str, field: &str) -> Option<Result<Value, EvalError>> {
        let _ = (variable, field);
        None
    }

    /// Answers a question of the expression about rights.
    fn authorize(&self, question: &Question) -> (bool, String) {
        let _ = question;
        (false, String::new())
    }
}

/// Evaluates `expr`.
pub(super) fn evaluate(
    expr: &Expr,
    activation: &dyn Activation,
    budget: &Budget,
) -> Result<Value, EvalError> {
    Machine { activation, budget, names: Vec::new() }.run(expr)
}

struct Machine<'a> {
    activation: &'a dyn Activation,
    budget: &'a Budget,
    /// Names given by macros, innermost last.
    names: Vec<(Arc<str>, Value)>,
}

type Outcome = Result<Value, EvalError>;

impl Machine<'_> {
    fn run(&mut self, expr: &Expr) -> Outcome {
        match &expr.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Ident(name) => {
                self.budget.take(1)?;
                self.lookup(name)
            }
            Kind::Select { operand, field, test, optional } => self.select(operand, field, *test, *optional),
            Kind::Index { operand, index, optional } => {
                let (operand, index) = (self.run(operand)?, self.run(index)?);
                self.budget.take(1)?;
                indexed(operand, &index, *optional)
            }
            Kind::Call { target, name, args } => self.call(target.as_deref(), name, args),
            Kind::Binary { operator: Operator::And, left, right } => self.logic(left, right, false),
            Kind::Binary { operator: Operator::Or, left, right } => self.logic(left, right, true),
            Kind::Binary { operator, left, right } => {
                let (left, right) = (self.run(left)?, self.run(right)?);
                operators::binary(*operator, left, right, self.budget)
            }
            Kind::Not(inner) => {
                let value = self.run(inner)?;
                self.budget.take(1)?;
                match value {
                    Value::Bool(b) => Ok(Value::Bool(!b)),
                    _ => Err(EvalError::no_overload()),
                }
            }
            Kind::Negate(inner) => {
                let value = self.run(inner)?;
                self.budget.take(1)?;
                operators::negate(value)
            }
            Kind::Ternary(parts) => match self.run(&parts[0])? {
                Value::Bool(true) => self.run(&parts[1]),
                Value::Bool(false) => self.run(&parts[2]),
                _ => Err(EvalError::no_overload()),
            },
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Each(each) => self.each(each),
            Kind::Bind(bind) => self.bind(bind),
        }
    }

    fn lookup(&self, name: &str) -> Outcome {
        if let Some((_, value)) = self.names.iter().rev().find(|(known, _)| &**known == name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.activation.variable(name) {
            return Ok(value);
        }
        match functions::type_named(name) {
            Some(kind) => Ok(Value::Type(kind)),
            None => Err(EvalError::failed(format!("no such attribute(s): {name}"))),
        }
    }

    fn select(&mut self, operand: &Expr, field: &Arc<str>, test: bool, optional: bool) -> Outcome {
        if let Kind::Ident(name) = &operand.kind {
            let hidden = self.names.iter().any(|(known, _)| known == name);
            if let Some(found) = (!hidden).then(|| self.activation.member(name, field)).flatten() {
                self.budget.take(if test { 1 } else { 2 })?;
                return if test { found.map(|_| Value::Bool(true)) } else { found };
            }
        }
        let (value, wrapped) = match self.run(operand)? {
            Value::Optional(None) => {
                return Ok(if test { Value::Bool(false) } else { Value::Optional(None) });
            }
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            value => (value, optional),
        };
        // Asking whether there is a field costs nothing.
        self.budget.take(u64::from(!test))?;
        let Value::Map(entries) = &value else {
            return if test || wrapped {
                Err(EvalError::no_overload())
            } else {
                Err(EvalError::failed(format!("no such key: {field}")))
            };
        };
        let found = entries.get(&Key::String(Arc::clone(field))).or_else(|| {
            let plain = unescaped(field)?;
            entries.get(&Key::String(plain.into()))
        });
        match (found, test, wrapped) {
            (found, true, _) => Ok(Value::Bool(found.is_some())),
            (Some(value), _, false) => Ok(value.clone()),
            (Some(value), _, true) => Ok(Value::some(value.clone())),
            (None, _, true) => Ok(Value::Optional(None)),
            (None, ..) => Err(EvalError::failed(format!("no such key: {field}"))),
        }
    }

    /// `&&` and `||`: the side that settles the result hides an error on the other one.
    fn logic(&mut self, left: &Expr, right: &Expr, settles: bool) -> Outcome {
        let left = self.run(left);
        match left {
            Ok(Value::Bool(b)) if b == settles => return Ok(Value::Bool(settles)),
            Err(EvalError::Budget) => return Err(EvalError::Budget),
            _ => {}
        }
        match (left, self.run(right)) {
            (_, Err(EvalError::Budget)) => Err(EvalError::Budget),
            (_, Ok(Value::Bool(b))) if b == settles => Ok(Value::Bool(settles)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!settles)),
            _ => Err(EvalError::no_overload()),
        }
    }

    fn call(&mut self, target: Option<&Expr>, name: &str, args: &[Expr]) -> Outcome {
        // `optional.of`, `ip.isCanonical`: a name before the dot that is no variable belongs to the function.
        if let Some(Expr { kind: Kind::Ident(space), .. }) = target
            && let Some(full) = functions::qualified(space, name)
            && (self.lookup(space).is_err() || functions::type_named(space).is_some())
        {
            let args = self.all(args)?;
            return functions::call(full, false, &args, self.activation, self.budget);
        }
        let mut all = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target {
            // `a.or(b)` and `a.orValue(b)` look at the second only if they need it.
            let value = self.run(target)?;
            if let (Value::Optional(inner), "orValue" | "or", [other]) = (&value, name, args) {
                return match inner {
                    Some(inner) if name == "orValue" => Ok((**inner).clone()),
                    Some(_) => Ok(value),
                    None => self.run(other),
                };
            }
            all.push(value);
        }
        for arg in args {
            all.push(self.run(arg)?);
        }
        functions::call(name, target.is_some(), &all, self.activation, self.budget)
    }

    fn all(&mut self, exprs: &[Expr]) -> Result<Vec<Value>, EvalError> {
        exprs.iter().map(|expr| self.run(expr)).collect()
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Outcome {
        self.budget.take(toll::LIST)?;
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.run(item)?, optional) {
                (value, false) => values.push(value),
                (Value::Optional(inner), true) => values.extend(inner.map(|inner| (*inner).clone())),
                _ => return Err(EvalError::no_overload()),
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &[(Expr, Expr, bool)]) -> Outcome {
        self.budget.take(toll::MAP)?;
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = Key::of(&self.run(key)?).ok_or_else(|| EvalError::failed("unsupported key type"))?;
            let value = match (self.run(value)?, optional) {
                (value, false) => value,
                (Value::Optional(Some(inner)), true) => (*inner).clone(),
                (Value::Optional(None), true) => continue,
                _ => return Err(EvalError::no_overload()),
            };
            if map.insert(key, value).is_some() {
                return Err(EvalError::failed("Failed with repeated key"));
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn bind(&mut self, bind: &Bind) -> Outcome {
        let value = self.run(&bind.value)?;
        self.budget.take(toll::BIND)?;
        let value = match value {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            _ => return Err(EvalError::no_overload()),
        };
        let result = self.with(&[(&bind.name, value)], &bind.body)?;
        Ok(if bind.wrap { Value::some(result) } else { result })
    }

    fn with(&mut self, names: &[(&Arc<str>, Value)], body: &Expr) -> Outcome {
        let depth = self.names.len();
        self.names.extend(names.iter().map(|(name, value)| (Arc::clone(name), value.clone())));
        let result = self.run(body);
        self.names.truncate(depth);
        result
    }

    fn each(&mut self, each: &Each) -> Outcome {
        let range = self.run(&each.range)?;
        let pairs: Vec<(Value, Value)> = match &range {
            Value::List(items) => {
                items.iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item.clone())).collect()
            }
            Value::Map(entries) => entries.iter().map(|(key, value)| (key.value(), value.clone())).collect(),
            _ => return Err(EvalError::no_overload()),
        };
        let over_map = matches!(range, Value::Map(_));
        let (mut kept, mut count, mut error) = (Vec::new(), 0u64, None);
        let toll = each.gather.toll();
        self.budget.take(toll.start + toll.end)?;
        for (key, value) in pairs {
            self.budget.take(toll.before + toll.dropped)?;
            let element = if over_map { key.clone() } else { value.clone() };
            let names: Vec<(&Arc<str>, Value)> = match &each.second {
                Some(second) => vec![(&each.name, key), (second, value)],
                None => vec![(&each.name, element.clone())],
            };
            if let Some(filter) = &each.filter {
                match self.with(&names, filter)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => continue,
                    _ => return Err(EvalError::no_overload()),
                }
            }
            let outcome = self.with(&names, &each.body);
            let counts = !matches!(outcome, Ok(Value::Bool(false))) || matches!(each.gather, Gather::Map);
            self.budget.take(if counts { toll.kept - toll.dropped } else { 0 })?;
            match (each.gather, outcome) {
                (_, Err(EvalError::Budget)) => return Err(EvalError::Budget),
                (Gather::Map, outcome) => kept.push((Value::Null, outcome?)),
                (Gather::SortBy, outcome) => kept.push((outcome?, element)),
                (Gather::All, Ok(Value::Bool(false))) => return Ok(Value::Bool(false)),
                (Gather::Exists, Ok(Value::Bool(true))) => return Ok(Value::Bool(true)),
                // One element may settle the result; until then what went wrong with another is kept.
                (Gather::All | Gather::Exists, Err(failed)) => error = error.or(Some(failed)),
                (Gather::Filter, Ok(Value::Bool(true))) => kept.push((Value::Null, element)),
                (Gather::ExistsOne, Ok(Value::Bool(true))) => count += 1,
                (_, Ok(Value::Bool(_))) => {}
                (_, Err(failed)) => return Err(failed),
                _ => return Err(EvalError::no_overload()),
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
        if each.gather == Gather::SortBy {
            kept.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(std::cmp::Ordering::Equal));
        }
        Ok(match each.gather {
            Gather::All => Value::Bool(true),
            Gather::Exists => Value::Bool(false),
            Gather::ExistsOne => Value::Bool(count == 1),
            Gather::Filter | Gather::Map | Gather::SortBy => {
                Value::list(kept.into_iter().map(|(_, value)| value).collect())
            }
        })
    }
}

/// An element of a list or a map.
fn indexed(operand: Value, index: &Value, optional: bool) -> Outcome {
    let (operand, wrapped) = match operand {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => ((*inner).clone(), true),
        value => (value, optional),
    };
    let found = match &operand {
        Value::List(items) => {
            let at = match index {
                Value::Int(n) => *n,
                Value::Uint(n) => i64::try_from(*n).unwrap_or(i64::MAX),
                Value::Double(n) if n.fract() == 0.0 => *n as i64,
                _ => return Err(EvalError::no_overload()),
            };
            let item = usize::try_from(at).ok().and_then(|at| items.get(at)).cloned();
            item.ok_or_else(|| EvalError::failed(format!("index out of bounds: {at}")))
        }
        Value::Map(entries) => {
            let key = Key::of(index).ok_or_else(EvalError::no_overload)?;
            let found = entries.get(&key).cloned();
            found.ok_or_else(|| EvalError::failed(format!("no such key: {}", functions::shown(index))))
        }
        _ => return Err(EvalError::no_overload()),
    };
    if !wrapped {
        return found;
    }
    Ok(found.map_or(Value::Optional(None), Value::some))
}
