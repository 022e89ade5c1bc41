//! Checks an expression before it is ever evaluated: names, fields, functions and what they are applied to.

use std::collections::HashMap;
use std::sync::Arc;

use super::CompileError;
use super::ast::{Each, Expr, Gather, Kind, Operator};
use super::functions::{qualified, type_named};
use super::types::{Type, signatures};
use super::value::Value;

/// The variables that an expression may name, and their types.
#[derive(Clone, Debug, Default)]
pub struct Scope(Vec<(String, Type)>);

impl Scope {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Type) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), kind));
        self
    }

    fn get(&self, name: &str) -> Option<&Type> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, kind)| kind)
    }
}

/// Returns the type of the whole expression.
pub(super) fn check(source: &str, root: &Expr, scope: &Scope) -> Result<Type, CompileError> {
    Checker { source, scope, names: Vec::new(), seen: None }.infer(root)
}

/// The types of all parts of an expression that was found good.
pub(super) fn types(source: &str, root: &Expr, scope: &Scope) -> Types {
    let mut checker = Checker { source, scope, names: Vec::new(), seen: Some(Types::default()) };
    // What was good once is good again.
    let _ = checker.infer(root);
    checker.seen.unwrap_or_default()
}

/// Types of nodes, which are told apart by where they are.
#[derive(Debug, Default)]
pub(super) struct Types(HashMap<*const Expr, Type>);

impl Types {
    /// The type of a node.
    pub(super) fn of(&self, expr: &Expr) -> &Type {
        self.0.get(&std::ptr::from_ref(expr)).unwrap_or(&Type::Dyn)
    }
}

struct Checker<'a> {
    source: &'a str,
    scope: &'a Scope,
    names: Vec<(Arc<str>, Type)>,
    /// Keeps what was found out, where somebody asks for it.
    seen: Option<Types>,
}

type Inferred = Result<Type, CompileError>;

impl Checker<'_> {
    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Result<T, CompileError> {
        Err(CompileError::at(self.source, at, message))
    }

    fn named(&self, name: &str) -> Option<Type> {
        let local = self.names.iter().rev().find(|(known, _)| &**known == name).map(|(_, kind)| kind);
        local.or_else(|| self.scope.get(name)).cloned()
    }

    fn infer(&mut self, expr: &Expr) -> Inferred {
        let kind = self.kind_of(expr)?;
        if let Some(seen) = &mut self.seen {
            seen.0.insert(std::ptr::from_ref(expr), kind.clone());
        }
        Ok(kind)
    }

    fn kind_of(&mut self, expr: &Expr) -> Inferred {
        match &expr.kind {
            Kind::Literal(value) => Ok(literal(value)),
            Kind::Ident(name) => match self.named(name) {
                Some(kind) => Ok(kind),
                None if type_named(name).is_some() => Ok(Type::Plain("type")),
                None => self.fail(expr.at, format!("undeclared reference to '{name}' (in container '')")),
            },
            Kind::Select { operand, field, test, optional } => {
                let kind = match (self.infer(operand)?, optional) {
                    (kind @ Type::Optional(_), _) | (kind, false) => kind,
                    (kind, true) => Type::Optional(Box::new(kind)),
                };
                match kind.field(field) {
                    Ok(Some(_)) if *test => Ok(Type::BOOL),
                    Ok(Some(kind)) => Ok(kind),
                    Ok(None) => self.fail(expr.at, format!("undefined field '{field}'")),
                    Err(kind) => {
                        self.fail(expr.at, format!("type '{kind}' does not support field selection"))
                    }
                }
            }
            Kind::Index { operand, index, optional } => {
                let (operand, index) = (self.infer(operand)?, self.infer(index)?);
                let (inner, wrapped) = match operand {
                    Type::Optional(inner) => (*inner, true),
                    kind => (kind, *optional),
                };
                let found = match &inner {
                    Type::List(items) if index.fits(&Type::INT) || index.fits(&Type::Plain("uint")) => {
                        (**items).clone()
                    }
                    Type::Map(values) => (**values).clone(),
                    Type::Dyn => Type::Dyn,
                    _ => return self.no_overload(expr.at, "_[_]", &[inner, index]),
                };
                Ok(if wrapped { Type::Optional(Box::new(found)) } else { found })
            }
            Kind::Call { target, name, args } => self.call(expr.at, target.as_deref(), name, args),
            Kind::Binary { operator, left, right } => {
                let (left, right) = (self.infer(left)?, self.infer(right)?);
                self.binary(expr.at, *operator, left, right)
            }
            Kind::Not(inner) => {
                let kind = self.infer(inner)?;
                if kind.fits(&Type::BOOL) { Ok(Type::BOOL) } else { self.no_overload(expr.at, "!_", &[kind]) }
            }
            Kind::Negate(inner) => {
                let kind = self.infer(inner)?;
                let number = kind.fits(&Type::INT) || kind.fits(&Type::Plain("double"));
                if number { Ok(kind) } else { self.no_overload(expr.at, "-_", &[kind]) }
            }
            Kind::Ternary(parts) => {
                let condition = self.infer(&parts[0])?;
                let (yes, no) = (self.infer(&parts[1])?, self.infer(&parts[2])?);
                if condition.fits(&Type::BOOL) && yes.fits(&no) {
                    return Ok(if matches!(yes, Type::Object(_)) { yes } else { yes.join(&no) });
                }
                self.no_overload(expr.at, "_?_:_", &[condition, yes, no])
            }
            Kind::List(items) => {
                let mut all: Option<Type> = None;
                for (item, optional) in items {
                    let kind = match self.infer(item)? {
                        Type::Optional(inner) if *optional => *inner,
                        kind => kind,
                    };
                    all = Some(all.map_or_else(|| kind.clone(), |known| known.join(&kind)));
                }
                Ok(Type::List(Box::new(all.unwrap_or(Type::Dyn))))
            }
            Kind::Map(entries) => {
                for (key, value, _) in entries {
                    self.infer(key)?;
                    self.infer(value)?;
                }
                Ok(Type::Map(Box::new(Type::Dyn)))
            }
            Kind::Each(each) => self.each(expr.at, each),
            Kind::Bind(bind) => {
                let value = match self.infer(&bind.value)? {
                    Type::Optional(inner) => *inner,
                    Type::Dyn => Type::Dyn,
                    kind => return self.no_overload(expr.at, "optMap", &[kind]),
                };
                let kind = self.within(&[(&bind.name, value)], &bind.body)?;
                Ok(if bind.wrap { Type::Optional(Box::new(kind)) } else { kind })
            }
        }
    }

    fn within(&mut self, names: &[(&Arc<str>, Type)], body: &Expr) -> Inferred {
        let depth = self.names.len();
        self.names.extend(names.iter().map(|(name, kind)| (Arc::clone(name), kind.clone())));
        let kind = self.infer(body);
        self.names.truncate(depth);
        kind
    }

    fn each(&mut self, at: usize, each: &Each) -> Inferred {
        let range = self.infer(&each.range)?;
        let (key, value, element) = match &range {
            Type::List(items) => (Type::INT, (**items).clone(), (**items).clone()),
            Type::Map(values) => (Type::Dyn, (**values).clone(), Type::Dyn),
            Type::Dyn => (Type::Dyn, Type::Dyn, Type::Dyn),
            other => {
                let message = format!("expression of type '{other}' cannot be range of a comprehension");
                return self.fail(at, message);
            }
        };
        let names: Vec<(&Arc<str>, Type)> = match &each.second {
            Some(second) => vec![(&each.name, key), (second, value)],
            None => vec![(&each.name, element.clone())],
        };
        if let Some(filter) = &each.filter {
            let kind = self.within(&names, filter)?;
            if !kind.fits(&Type::BOOL) {
                return self.no_overload(at, "_?_:_", &[kind]);
            }
        }
        let body = self.within(&names, &each.body)?;
        match each.gather {
            Gather::Map => Ok(Type::List(Box::new(body))),
            Gather::SortBy => Ok(Type::List(Box::new(element))),
            _ if !body.fits(&Type::BOOL) => self.no_overload(at, "_&&_", &[Type::BOOL, body]),
            Gather::Filter => Ok(Type::List(Box::new(element))),
            Gather::All | Gather::Exists | Gather::ExistsOne => Ok(Type::BOOL),
        }
    }

    fn no_overload<T>(&self, at: usize, name: &str, kinds: &[Type]) -> Result<T, CompileError> {
        let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        let kinds = kinds.join(", ");
        self.fail(at, format!("found no matching overload for '{name}' applied to '({kinds})'"))
    }

    fn call(&mut self, at: usize, target: Option<&Expr>, name: &str, args: &[Expr]) -> Inferred {
        let (mut name, mut method, mut kinds) = (name, false, Vec::new());
        if let Some(target) = target {
            let space = match &target.kind {
                Kind::Ident(space) if self.named(space).is_none() => qualified(space, name),
                _ => None,
            };
            if let Some(full) = space {
                name = full;
            } else {
                method = true;
                kinds.push(self.infer(target)?);
            }
        }
        for arg in args {
            kinds.push(self.infer(arg)?);
        }
        let Some(forms) = signatures(name, method) else {
            return self.fail(at, format!("undeclared reference to '{name}' (in container '')"));
        };
        let fitting: Vec<&Type> = forms
            .iter()
            .filter(|form| form.takes.len() == kinds.len())
            .filter(|form| kinds.iter().zip(&form.takes).all(|(kind, wanted)| kind.fits(wanted)))
            .map(|form| &form.gives)
            .collect();
        // Where several forms may be meant, the type of the first is not the type of all.
        match (fitting.as_slice(), kinds.first()) {
            ([], _) if method && !matches!(kinds.first(), Some(Type::Dyn)) => {
                self.no_overload(at, name, &[&kinds[..1], &kinds[1..]].concat())
            }
            ([], _) => self.no_overload(at, name, &kinds),
            ([Type::Optional(inner)], Some(kind))
                if name.starts_with("optional.") && matches!(**inner, Type::Dyn) =>
            {
                Ok(Type::Optional(Box::new(kind.clone())))
            }
            ([Type::Dyn], Some(Type::Optional(inner))) => Ok((**inner).clone()),
            ([Type::List(inner)], Some(kind @ Type::List(_)))
                if matches!(**inner, Type::Dyn) && name != "flatten" =>
            {
                Ok(kind.clone())
            }
            ([one], _) => Ok((*one).clone()),
            ([first, rest @ ..], _) => Ok(rest.iter().fold((*first).clone(), |all, kind| all.join(kind))),
        }
    }

    fn binary(&self, at: usize, operator: Operator, left: Type, right: Type) -> Inferred {
        let fits = match operator {
            Operator::And | Operator::Or => left.fits(&Type::BOOL) && right.fits(&Type::BOOL),
            Operator::Equal | Operator::NotEqual => left.fits(&right),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                (left.fits(&right) || (is_number(&left) && is_number(&right)))
                    && !matches!(left, Type::List(_) | Type::Map(_) | Type::Members(_) | Type::Object(_))
            }
            Operator::In => match &right {
                Type::List(items) => left.fits(items),
                Type::Map(_) | Type::Dyn => true,
                _ => false,
            },
            Operator::Add => return self.add(at, left, right),
            _ => {
                let times =
                    [&left, &right].iter().any(|kind| matches!(kind, Type::Plain("timestamp" | "duration")));
                if times && operator == Operator::Subtract {
                    return Ok(Type::Dyn);
                }
                let fits = left.fits(&right) && is_number(&left) && is_number(&right);
                return if fits {
                    Ok(left.join(&right))
                } else {
                    self.no_overload(at, operator.symbol(), &[left, right])
                };
            }
        };
        if fits { Ok(Type::BOOL) } else { self.no_overload(at, operator.symbol(), &[left, right]) }
    }

    fn add(&self, at: usize, left: Type, right: Type) -> Inferred {
        let addable = |kind: &Type| {
            is_number(kind)
                || matches!(kind, Type::Plain("string" | "bytes" | "timestamp" | "duration") | Type::List(_))
        };
        let time = |kind: &Type| matches!(kind, Type::Plain("timestamp" | "duration"));
        if addable(&left) && addable(&right) && (left.fits(&right) || (time(&left) && time(&right))) {
            return Ok(match (&left, &right) {
                (Type::Plain(a), Type::Plain(b)) if a != b => Type::Plain("timestamp"),
                // One side that is known settles what the other must be.
                (Type::Dyn, Type::Plain("string")) | (Type::Plain("string"), Type::Dyn) => Type::STRING,
                _ => left.join(&right),
            });
        }
        self.no_overload(at, "_+_", &[left, right])
    }
}

fn is_number(kind: &Type) -> bool {
    matches!(kind, Type::Dyn | Type::Plain("int" | "uint" | "double"))
}

fn literal(value: &Value) -> Type {
    match value {
        Value::Null => Type::NULL,
        Value::Bool(_) => Type::BOOL,
        Value::Int(_) => Type::INT,
        Value::Uint(_) => Type::Plain("uint"),
        Value::Double(_) => Type::Plain("double"),
        Value::String(_) => Type::STRING,
        Value::Bytes(_) => Type::Plain("bytes"),
        _ => Type::Dyn,
    }
}
