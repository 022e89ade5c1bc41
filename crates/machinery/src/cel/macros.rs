//! Calls that are more than calls: `has`, `all`, `exists`, `map`, `filter`, `optMap` and their kin.

use std::sync::Arc;

use super::CompileError;
use super::ast::{Bind, Each, Expr, Gather, Kind};

/// Makes a node of `name(args)`.
pub(super) fn function(
    source: &str,
    at: usize,
    name: Arc<str>,
    mut args: Vec<Expr>,
) -> Result<Expr, CompileError> {
    if &*name != "has" {
        return Ok(Expr::new(at, Kind::Call { target: None, name, args }));
    }
    match (args.pop(), args.is_empty()) {
        (Some(Expr { at, kind: Kind::Select { operand, field, optional, .. } }), true) => {
            Ok(Expr::new(at, Kind::Select { operand, field, test: true, optional }))
        }
        _ => Err(CompileError::at(source, at, "invalid argument to has() macro")),
    }
}

/// Makes a node of `target.name(args)`.
pub(super) fn method(
    source: &str,
    at: usize,
    target: Expr,
    name: Arc<str>,
    mut args: Vec<Expr>,
) -> Result<Expr, CompileError> {
    let gather = match (&*name, args.len()) {
        ("all", 2 | 3) => Gather::All,
        ("exists", 2 | 3) => Gather::Exists,
        ("exists_one" | "existsOne", 2 | 3) => Gather::ExistsOne,
        ("filter", 2) => Gather::Filter,
        ("map", 2 | 3) => Gather::Map,
        ("sortBy", 2) => Gather::SortBy,
        ("optMap" | "optFlatMap", 2) => {
            let body = args.remove(1);
            let wrap = &*name == "optMap";
            let name = variable(source, &args[0])?;
            let bind = Bind { name, value: target, body, wrap };
            return Ok(Expr::new(at, Kind::Bind(Box::new(bind))));
        }
        _ => {
            let target = Some(Box::new(target));
            return Ok(Expr::new(at, Kind::Call { target, name, args }));
        }
    };
    let body = args.pop().unwrap_or_else(|| Expr::new(at, Kind::List(Vec::new())));
    let mut names = args.into_iter();
    let first = names.next().map(|name| variable(source, &name)).transpose()?.unwrap_or_default();
    let (mut second, mut filter) = (None, None);
    if let Some(other) = names.next() {
        if gather == Gather::Map {
            filter = Some(other);
        } else {
            second = Some(variable(source, &other)?);
        }
    }
    let each = Each { gather, range: target, name: first, second, filter, body };
    Ok(Expr::new(at, Kind::Each(Box::new(each))))
}

fn variable(source: &str, expr: &Expr) -> Result<Arc<str>, CompileError> {
    match &expr.kind {
        Kind::Ident(name) => Ok(Arc::clone(name)),
        _ => Err(CompileError::at(source, expr.at, "argument must be a simple name")),
    }
}
