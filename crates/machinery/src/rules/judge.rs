//! Holds an object against the rules of its schema.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value as Json;

use super::value::value;
use super::{Node, Rule, Rules};
use crate::cel::{Activation, EvalError, Value};
use crate::field::{FieldError, Path, Problem};
use crate::keyed::Keyed;

/// What all rules together may cost for one object: Kubernetes' limit, in its units.
const BUDGET: u64 = 10_000_000;
/// Most bytes of what an expression says to a client.
const MESSAGE_MAX: usize = 5 << 10;

/// What rules say of an object.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Broken rules.
    pub errors: Vec<FieldError>,
    /// Rules that were broken before and are so still, in parts that did not change.
    pub warnings: Vec<String>,
}

impl Rules {
    /// Judges an object, and its change if it was there before.
    pub fn judge(&self, object: &Json, old: Option<&Json>) -> Verdict {
        let mut judge = Judge { left: Some(BUDGET), verdict: Verdict::default() };
        let past = Past { own: old, nearest: None };
        judge.node(&self.0, object, past, &Path::root());
        judge.verdict
    }
}

/// What a value was before.
#[derive(Clone, Copy, Debug)]
struct Past<'v> {
    /// The same value in the object as it was.
    own: Option<&'v Json>,
    /// The nearest value around it that was there before: what it is, and what it was.
    nearest: Option<(&'v Json, &'v Json)>,
}

impl<'v> Past<'v> {
    /// The past of a part of `value`, which was `part`.
    fn of_part(self, value: &'v Json, part: Option<&'v Json>) -> Self {
        Self { own: part, nearest: self.own.map(|own| (value, own)).or(self.nearest) }
    }

    /// Whether nothing changed here, so that an old fault may stay.
    fn unchanged(self, value: &Json) -> bool {
        match (self.own, self.nearest) {
            (Some(own), _) => own == value,
            (None, Some((is, was))) => is == was,
            (None, None) => false,
        }
    }
}

struct Judge {
    /// What may still be spent; nothing once the judge has given up.
    left: Option<u64>,
    verdict: Verdict,
}

impl Judge {
    fn node<'v>(&mut self, node: &Node, value: &'v Json, past: Past<'v>, path: &Path) {
        // A rule about a value that may be null stands around it.
        if value.is_null() {
            return;
        }
        self.rules(node, value, past, path);
        for branch in &node.branches {
            self.node(branch, value, past, path);
        }
        match value {
            Json::Array(items) => {
                let Some(inner) = &node.items else { return };
                let before = past.own.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
                let before = Keyed::new(&node.keys, before);
                for (at, item) in items.iter().enumerate() {
                    let past = past.of_part(value, before.same(item, at));
                    self.node(inner, item, past, &path.index(at));
                }
            }
            Json::Object(fields) => {
                for (name, held) in fields {
                    let (inner, path) = match (node.fields.get(name), &node.values) {
                        (Some(field), _) => (field, path.child(name)),
                        (None, Some(values)) => (&**values, path.key(name)),
                        (None, None) => continue,
                    };
                    let before = past.own.and_then(|own| own.get(name));
                    self.node(inner, held, past.of_part(value, before), &path);
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, node: &Node, json: &Json, past: Past<'_>, path: &Path) {
        let Some(declared) = node.declared.as_ref().filter(|_| !node.rules.is_empty()) else { return };
        let seen = Seen {
            own: value(json, declared),
            old: past.own.filter(|old| !old.is_null()),
            declared,
            kept: OnceCell::new(),
        };
        for rule in &node.rules {
            if self.left.is_none() {
                return;
            }
            self.rule(node, rule, json, &seen, past, path);
        }
    }

    fn rule(&mut self, node: &Node, rule: &Rule, json: &Json, seen: &Seen<'_>, past: Past<'_>, path: &Path) {
        let problem = |detail: String| FieldError::invalid(path.clone(), node.kind.as_str(), detail);
        let Some(left) = self.left.filter(|left| *left > 0) else {
            return self.give_up(problem(SPENT.to_owned()));
        };
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => return self.verdict.errors.push(problem(format!("rule compile error: {why}"))),
        };
        if rule.transition && !rule.optional && seen.old.is_none() {
            return;
        }
        let view = View { seen, optional: rule.optional };
        let (outcome, cost) = program.measure(&view, u64::MAX);
        if cost > left {
            return self.give_up(problem(SPENT.to_owned()));
        }
        self.left = Some(left - cost);
        let name = rule.name();
        match outcome {
            Ok(Value::Bool(true)) => return,
            Ok(_) => {}
            Err(why @ EvalError::Budget) => {
                let detail = format!(
                    "'{why}': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
                );
                return self.give_up(problem(detail));
            }
            Err(EvalError::Failed(why)) => {
                let detail = if why.starts_with("no such overload") {
                    format!(
                        "'{why}': call arguments did not match a supported operator, function or macro signature \
                         for rule: {name}"
                    )
                } else {
                    format!("{why} evaluating rule: {name}")
                };
                return self.verdict.errors.push(problem(detail));
            }
        }
        let at = rule.field.as_ref().map_or_else(|| path.clone(), |field| path.child(field));
        let error = match self.message(rule, &view) {
            Ok(detail) => {
                let error = FieldError::new(at, rule.reason, json.clone(), detail);
                // Whole structures are not repeated in messages.
                if json.is_object() || json.is_array() { error.without_value() } else { error }
            }
            Err(detail) => {
                self.left = None;
                FieldError::invalid(at, node.kind.as_str(), detail)
            }
        };
        if !rule.transition && past.unchanged(json) {
            self.verdict.warnings.push(error.to_string());
        } else {
            self.verdict.errors.push(error);
        }
    }

    fn give_up(&mut self, error: FieldError) {
        self.verdict.errors.push(error);
        self.left = None;
    }

    /// What is said to the client: what the message's expression gives, the message, or the rule itself.
    ///
    /// # Errors
    /// Says that the budget did not last.
    fn message(&mut self, rule: &Rule, view: &View<'_>) -> Result<String, String> {
        let default = || match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.text),
            message => message.to_owned(),
        };
        if rule.reason == Problem::Duplicate {
            return Ok(String::new());
        }
        let (Some(program), Some(left)) = (&rule.message_expression, self.left) else { return Ok(default()) };
        let (outcome, cost) = program.measure(view, u64::MAX);
        if cost > left {
            return Err("messageExpression evaluation failed due to running out of cost budget, no further \
                        validation rules will be run"
                .to_owned());
        }
        self.left = Some(left - cost);
        match outcome {
            Err(EvalError::Budget) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                program.source()
            )),
            Ok(Value::String(text)) => {
                let text = text.trim();
                let usable = !text.is_empty() && !text.contains('\n') && text.len() <= MESSAGE_MAX;
                Ok(if usable { text.to_owned() } else { default() })
            }
            _ => Ok(default()),
        }
    }
}

const SPENT: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A value and what it was.
struct Seen<'v> {
    own: Value,
    old: Option<&'v Json>,
    declared: &'v Arc<crate::cel::Declared>,
    kept: OnceCell<Value>,
}

impl Seen<'_> {
    fn old(&self) -> Option<Value> {
        let old = self.old?;
        Some(self.kept.get_or_init(|| value(old, self.declared)).clone())
    }
}

/// What one rule sees.
struct View<'v> {
    seen: &'v Seen<'v>,
    optional: bool,
}

impl Activation for View<'_> {
    fn variable(&self, name: &str) -> Option<Value> {
        match name {
            "self" => Some(self.seen.own.clone()),
            "oldSelf" if self.optional => Some(Value::Optional(self.seen.old().map(Arc::new))),
            "oldSelf" => self.seen.old(),
            _ => None,
        }
    }
}
