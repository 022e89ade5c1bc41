//! What an expression is made of once it is read.

use std::sync::Arc;

use super::value::Value;

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    /// Offset in the source, in bytes.
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Value),
    Ident(Arc<str>),
    /// `a.b`, `a.?b`, and `has(a.b)` with `test`.
    Select {
        operand: Box<Expr>,
        field: Arc<str>,
        test: bool,
        optional: bool,
    },
    /// `a[b]`, `a[?b]`.
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    /// A function, or a method of `target`.
    Call {
        target: Option<Box<Expr>>,
        name: Arc<str>,
        args: Vec<Expr>,
    },
    Binary {
        operator: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Ternary(Box<[Expr; 3]>),
    /// Elements, and whether each is `?optional`.
    List(Vec<(Expr, bool)>),
    /// Keys, values, and whether each entry is `?optional`.
    Map(Vec<(Expr, Expr, bool)>),
    /// A macro that goes through a list or a map.
    Each(Box<Each>),
    /// `optional.optMap(name, body)` and `optFlatMap`.
    Bind(Box<Bind>),
}

/// Operators with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    /// The name in complaints.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Or => "_||_",
            Self::And => "_&&_",
            Self::Equal => "_==_",
            Self::NotEqual => "_!=_",
            Self::Less => "_<_",
            Self::LessOrEqual => "_<=_",
            Self::Greater => "_>_",
            Self::GreaterOrEqual => "_>=_",
            Self::In => "@in",
            Self::Add => "_+_",
            Self::Subtract => "_-_",
            Self::Multiply => "_*_",
            Self::Divide => "_/_",
            Self::Modulo => "_%_",
        }
    }
}

/// What a macro does with each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gather {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    SortBy,
}

/// `range.all(x, body)` and its kin.
#[derive(Clone, Debug)]
pub(crate) struct Each {
    pub(crate) gather: Gather,
    pub(crate) range: Expr,
    /// The element; of maps, the key. With `second`, the index or key.
    pub(crate) name: Arc<str>,
    /// The element or value, where two names are given.
    pub(crate) second: Option<Arc<str>>,
    /// `map` with three arguments: which elements count.
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

/// A name for what is in an optional.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    pub(crate) name: Arc<str>,
    pub(crate) value: Expr,
    pub(crate) body: Expr,
    /// The result is wrapped again.
    pub(crate) wrap: bool,
}

impl Expr {
    pub(crate) fn new(at: usize, kind: Kind) -> Self {
        Self { at, kind }
    }

    /// Whether a variable's name stands somewhere in the expression.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        let any = |parts: &[&Self]| parts.iter().any(|part| part.mentions(name));
        match &self.kind {
            Kind::Literal(_) => false,
            Kind::Ident(ident) => &**ident == name,
            Kind::Select { operand, .. } => operand.mentions(name),
            Kind::Index { operand, index, .. } => any(&[operand, index]),
            Kind::Call { target, args, .. } => {
                target.as_ref().is_some_and(|target| target.mentions(name))
                    || args.iter().any(|arg| arg.mentions(name))
            }
            Kind::Binary { left, right, .. } => any(&[left, right]),
            Kind::Not(inner) | Kind::Negate(inner) => inner.mentions(name),
            Kind::Ternary(parts) => parts.iter().any(|part| part.mentions(name)),
            Kind::List(items) => items.iter().any(|(item, _)| item.mentions(name)),
            Kind::Map(entries) => entries.iter().any(|(key, value, _)| any(&[key, value])),
            Kind::Each(each) => {
                any(&[&each.range, &each.body]) || each.filter.as_ref().is_some_and(|f| f.mentions(name))
            }
            Kind::Bind(bind) => any(&[&bind.value, &bind.body]),
        }
    }
}
