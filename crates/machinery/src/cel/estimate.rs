//! The most that an expression can cost, told from its text and from how large its values can become.
//!
//! The walk follows values as far as a schema describes them; what it loses sight of counts as without bounds.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Bind, Each, Expr, Gather, Kind, Operator};
use super::check::Types;
use super::declared::{Declared, Form};
use super::functions::qualified;
use super::toll::{self, traversal};
use super::types::Type;
use super::value::Value;

/// Fewest and most characters, bytes or elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Size {
    pub(super) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    pub(super) const ONE: Self = Self::exactly(1);

    pub(super) const fn exactly(size: u64) -> Self {
        Self { min: size, max: size }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn either(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// What a schema says of a value.
#[derive(Clone, Debug, Default)]
pub(super) enum Track {
    /// The value was computed.
    #[default]
    Computed,
    /// The schema describes it.
    Declared(Arc<Declared>),
    /// It is part of something described, but is not itself.
    Lost,
}

impl Track {
    /// The track of a part. Parts of what was computed count as `root`, as they do in Kubernetes.
    fn part(&self, root: &Arc<Declared>, part: impl Fn(&Declared) -> Option<Arc<Declared>>) -> Self {
        match self {
            Self::Computed => Self::Declared(Arc::clone(root)),
            Self::Declared(declared) => part(declared).map_or(Self::Lost, Self::Declared),
            Self::Lost => Self::Lost,
        }
    }

    pub(super) fn declared(&self) -> Option<&Arc<Declared>> {
        match self {
            Self::Declared(declared) => Some(declared),
            _ => None,
        }
    }
}

/// What is known of a part of the expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The most that it can cost.
    pub(super) cost: u64,
    /// The size of its value.
    pub(super) size: Option<Size>,
    /// The sizes of its elements.
    pub(super) elements: Option<Size>,
    /// What the schema says of its value.
    pub(super) track: Track,
    /// Its size where nothing else tells it.
    hint: Option<Size>,
}

impl Known {
    pub(super) fn costing(cost: u64) -> Self {
        Self { cost, ..Self::default() }
    }

    pub(super) fn sized(self, size: Size) -> Self {
        Self { size: Some(size), ..self }
    }

    pub(super) fn size(&self) -> Size {
        self.size.unwrap_or(Size::UNKNOWN)
    }
}

/// The most that evaluating `root` can cost.
pub(super) fn most(root: &Expr, types: &Types, declared: &Arc<Declared>) -> u64 {
    Estimate { types, root: declared, names: HashMap::new() }.run(root).cost
}

struct Estimate<'a> {
    types: &'a Types,
    root: &'a Arc<Declared>,
    /// What macros gave names to, innermost last.
    names: HashMap<Arc<str>, Vec<Known>>,
}

fn sum(costs: impl IntoIterator<Item = u64>) -> u64 {
    costs.into_iter().fold(0, u64::saturating_add)
}

impl Estimate<'_> {
    fn run(&mut self, expr: &Expr) -> Known {
        let mut known = match &expr.kind {
            Kind::Literal(_) => Known::default(),
            Kind::Ident(name) => self.named(name),
            Kind::Select { operand, field, test, optional } => self.select(operand, field, *test, *optional),
            Kind::Index { operand, index, optional } => {
                let (operand, index) = (self.run(operand), self.run(index));
                let track = if *optional { Track::Computed } else { self.element(&operand) };
                let known = Known::costing(sum([operand.cost, index.cost, 1]));
                Known { size: operand.elements, track, ..known }
            }
            Kind::Call { target, name, args } => self.call(target.as_deref(), name, args),
            Kind::Binary { operator, left, right } => self.binary(*operator, left, right),
            Kind::Not(inner) | Kind::Negate(inner) => Known::costing(sum([self.run(inner).cost, 1])),
            Kind::Ternary(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let (condition, yes, no) = (self.run(condition), self.run(yes), self.run(no));
                let elements = yes.elements.zip(no.elements).map(|(yes, no)| yes.either(no));
                let cost = sum([condition.cost, yes.cost.max(no.cost)]);
                Known { elements, ..Known::costing(cost).sized(yes.size().either(no.size())) }
            }
            Kind::List(items) => {
                let items: Vec<Known> = items.iter().map(|(item, _)| self.run(item)).collect();
                let elements = items.iter().map(Known::size).reduce(Size::either);
                let cost = sum(items.iter().map(|item| item.cost).chain([toll::LIST]));
                let elements = Some(elements.unwrap_or(Size::exactly(0)));
                Known { elements, ..Known::costing(cost).sized(Size::exactly(items.len() as u64)) }
            }
            Kind::Map(entries) => {
                let (mut cost, mut elements) = (toll::MAP, Size::exactly(0));
                for (at, (key, value, _)) in entries.iter().enumerate() {
                    let (key, value) = (self.run(key), self.run(value));
                    cost = sum([cost, key.cost, value.cost]);
                    elements = if at == 0 { value.size() } else { elements.either(value.size()) };
                }
                let known = Known::costing(cost).sized(Size::exactly(entries.len() as u64));
                Known { elements: Some(elements), ..known }
            }
            Kind::Each(each) => self.each(each),
            Kind::Bind(bind) => self.bind(bind),
        };
        known.size = known.size.or_else(|| self.size_of(expr, &known));
        known
    }

    /// The size of a value that was not computed on the way.
    fn size_of(&self, expr: &Expr, known: &Known) -> Option<Size> {
        if let Kind::Literal(value) = &expr.kind {
            return Some(Size::exactly(value.count()));
        }
        if let Some(declared) = known.track.declared() {
            return Some(Size { min: 0, max: declared.most });
        }
        scalar(self.types.of(expr)).then_some(Size::ONE).or(known.hint)
    }

    fn element(&self, of: &Known) -> Track {
        of.track.part(self.root, |declared| declared.element().cloned())
    }

    fn named(&self, name: &Arc<str>) -> Known {
        if let Some(known) = self.names.get(name).and_then(|all| all.last()) {
            return Known { cost: 1, ..known.clone() };
        }
        // Names of types are not looked into.
        Known { track: Track::Declared(Arc::clone(self.root)), ..Known::costing(1) }
    }

    fn select(&mut self, operand: &Expr, field: &str, test: bool, optional: bool) -> Known {
        let known = self.run(operand);
        if test {
            return Known::costing(known.cost);
        }
        let structured = matches!(self.types.of(operand), Type::Members(_) | Type::Object(_) | Type::Map(_));
        let cost = sum([known.cost, u64::from(structured || optional)]);
        let track = if optional {
            Track::Computed
        } else {
            known.track.part(self.root, |declared| declared.field(field).cloned())
        };
        Known { track, ..Known::costing(cost) }
    }

    fn call(&mut self, target: Option<&Expr>, name: &str, args: &[Expr]) -> Known {
        let (mut name, mut own) = (name, None);
        if let Some(target) = target {
            let space = match &target.kind {
                Kind::Ident(space) if !self.names.contains_key(space) => qualified(space, name),
                _ => None,
            };
            match space {
                Some(full) => name = full,
                None => own = Some((self.run(target), self.types.of(target).clone())),
            }
        }
        let known: Vec<Known> = args.iter().map(|arg| self.run(arg)).collect();
        if let ("dyn", None, [only]) = (name, &own, known.as_slice()) {
            let known = Known::costing(sum([only.cost, 1]));
            return Known { size: only.size, elements: only.elements, ..known };
        }
        let parts = own.iter().map(|(own, _)| own.cost).chain(known.iter().map(|arg| arg.cost));
        let parts = sum(parts);
        let limit = args.get(1).and_then(|arg| match &arg.kind {
            Kind::Literal(Value::Int(n)) => u64::try_from(*n).ok(),
            _ => None,
        });
        let first = args.first().map(|arg| self.types.of(arg));
        let result = super::functions::estimate::call(name, own.as_ref(), &known, first, limit);
        Known { cost: sum([result.cost, parts]), ..result }
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr) -> Known {
        let kinds = [self.types.of(left).clone(), self.types.of(right).clone()];
        let (left, right) = (self.run(left), self.run(right));
        let parts = sum([left.cost, right.cost]);
        let may_be = |wanted: &[&str]| {
            let one = |kind: &Type| match kind {
                Type::Dyn => true,
                Type::Plain(name) => wanted.contains(name),
                _ => false,
            };
            kinds.iter().all(one)
        };
        let texts = || may_be(&["string", "bytes"]);
        let compared = || traversal(left.size().max.min(right.size().max));
        let (own, size) = match operator {
            Operator::And | Operator::Or => (0, None),
            Operator::Equal | Operator::NotEqual
                if may_be(&["quantity", "ip", "cidr", "semver"]) && !texts() =>
            {
                (1, None)
            }
            Operator::Equal | Operator::NotEqual => (compared(), None),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
                if texts() =>
            {
                (compared(), None)
            }
            Operator::In if !matches!(kinds[1], Type::Map(_)) => (right.size().max, None),
            Operator::Add if texts() => {
                let size = left.size().plus(right.size());
                (traversal(size.max), Some(size))
            }
            Operator::Add if matches!(kinds[0], Type::List(_)) => (1, Some(left.size().plus(right.size()))),
            _ => (1, None),
        };
        let elements = left.elements.zip(right.elements).map(|(left, right)| left.either(right));
        let elements = elements.filter(|_| operator == Operator::Add);
        Known { size, elements, ..Known::costing(sum([parts, own])) }
    }

    fn each(&mut self, each: &Each) -> Known {
        let range = self.run(&each.range);
        let over_map = matches!(self.types.of(&each.range), Type::Map(_));
        // A key of a declared map has no bound of its own, which counts as no size at all.
        let text = || Some(Arc::new(Declared { form: Form::Plain("string"), most: 0, bytes: 2 }));
        let track = range.track.part(self.root, |_| if over_map { text() } else { None });
        let key = Known { track, hint: (!over_map).then_some(Size::ONE), ..Known::default() };
        let value = Known { track: self.element(&range), hint: range.elements, ..Known::default() };
        let names: Vec<(&Arc<str>, Known)> = match &each.second {
            Some(second) => vec![(&each.name, key), (second, value.clone())],
            None if over_map => vec![(&each.name, key)],
            None => vec![(&each.name, value.clone())],
        };
        let filter = each.filter.as_ref().map(|filter| self.within(&names, filter));
        let body = self.within(&names, &each.body);
        let toll = each.gather.toll();
        let round = sum([toll.before, toll.kept, body.cost, filter.map_or(0, |filter| filter.cost)]);
        let cost = sum([range.cost, toll.start, range.size().max.saturating_mul(round), toll.end]);
        match each.gather {
            Gather::All | Gather::Exists | Gather::ExistsOne => Known::costing(cost).sized(Size::ONE),
            Gather::Map => Known { elements: Some(body.size()), ..Known::costing(cost).sized(range.size()) },
            Gather::Filter | Gather::SortBy => {
                let elements = value.track.declared().map(|declared| Size { min: 0, max: declared.most });
                let elements = elements.or(value.hint);
                Known { elements, ..Known::costing(cost).sized(range.size()) }
            }
        }
    }

    fn bind(&mut self, bind: &Bind) -> Known {
        let value = self.run(&bind.value);
        // `optMap` asks whether there is a value, takes it, and wraps the result.
        let cost = sum([value.cost, value.cost, 3]);
        let body = self.within(&[(&bind.name, value)], &bind.body);
        Known { cost: sum([cost, toll::BIND, body.cost]), ..body }
    }

    fn within(&mut self, names: &[(&Arc<str>, Known)], body: &Expr) -> Known {
        for (name, known) in names {
            self.names.entry(Arc::clone(name)).or_default().push(known.clone());
        }
        let known = self.run(body);
        for (name, _) in names {
            if let Some(all) = self.names.get_mut(&**name) {
                all.pop();
                if all.is_empty() {
                    self.names.remove(&**name);
                }
            }
        }
        known
    }
}

/// Whether values of a type have one size.
fn scalar(kind: &Type) -> bool {
    match kind {
        Type::Plain(name) => {
            matches!(*name, "bool" | "int" | "uint" | "double" | "timestamp" | "duration")
        }
        Type::Optional(inner) => scalar(inner),
        _ => false,
    }
}
