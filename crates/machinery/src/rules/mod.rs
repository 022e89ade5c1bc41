//! Rules in CEL that a custom resource's schema carries (`x-kubernetes-validations`).
//!
//! Two occasions: when a definition is written, [`problems`] says which rules do not compile or could cost too much;
//! when an object is written, [`Rules::judge`] evaluates them. A rule sees the value at its place as `self` and, where the
//! same value can be found in the object as it was, that as `oldSelf`.

mod declare;
mod field_path;
mod judge;
mod problems;
#[cfg(test)]
mod tests;
mod value;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::cel::{Declared, Program, Scope, Type};
use crate::field::Problem;

pub use field_path::field_at;
pub use judge::Verdict;
pub use problems::problems;
pub(crate) use words::check as check_words;

/// The word under which a schema carries its rules.
pub(crate) const WORD: &str = "x-kubernetes-validations";

/// All rules of a schema, read and checked.
#[derive(Debug)]
pub struct Rules(Node);

impl Rules {
    /// Reads the rules of a schema; nothing if it has none.
    pub fn read(open_api_v3_schema: &Value) -> Option<Self> {
        Node::read(open_api_v3_schema, open_api_v3_schema, true).map(Self)
    }
}

/// The rules at one place of a schema and below.
#[derive(Debug)]
struct Node {
    /// The type's name, which stands for values that messages do not repeat.
    kind: String,
    /// What the schema says of values here, where there are rules.
    declared: Option<Arc<Declared>>,
    rules: Vec<Rule>,
    fields: BTreeMap<String, Self>,
    values: Option<Box<Self>>,
    items: Option<Box<Self>>,
    /// Fields that tell the items of a list apart; empty where items have no identity.
    keys: Vec<String>,
    /// Rules of `allOf`, which are about the same value.
    branches: Vec<Self>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    text: String,
    program: Result<Program, String>,
    message: String,
    message_expression: Option<Program>,
    reason: Problem,
    /// Path below the rule's place that its refusal names.
    field: Option<String>,
    /// Looks at `oldSelf`.
    transition: bool,
    /// Is also asked where there is no `oldSelf`, which is an optional.
    optional: bool,
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Whether values are whole objects with their own type and metadata.
fn is_embedded(schema: &Value) -> bool {
    schema["x-kubernetes-embedded-resource"] == true
}

impl Node {
    /// Reads the rules of `rules`, which are about values that `schema` describes.
    fn read(rules: &Value, schema: &Value, root: bool) -> Option<Self> {
        if !rules.is_object() {
            return None;
        }
        let own: &[Value] = rules[WORD].as_array().map_or(&[], Vec::as_slice);
        let declared = (!own.is_empty()).then(|| declare::declare(schema, root)).flatten();
        let child = |word: &str| {
            let node = Self::read(&rules[word], &schema[word], is_embedded(&schema[word]))?;
            Some(Box::new(node))
        };
        let fields = rules["properties"].as_object().into_iter().flatten().filter_map(|(name, rules)| {
            let schema = &schema["properties"][name];
            Some((name.clone(), Self::read(rules, schema, is_embedded(schema))?))
        });
        let branches = rules["allOf"].as_array().into_iter().flatten();
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        let node = Self {
            kind: text(schema, "type").to_owned(),
            rules: declared.as_ref().map_or_else(Vec::new, |declared| {
                own.iter().map(|rule| Rule::read(rule, schema, declared)).collect()
            }),
            declared,
            fields: fields.collect(),
            values: child("additionalProperties"),
            items: child("items"),
            keys: keys.filter_map(Value::as_str).map(str::to_owned).collect(),
            branches: branches.filter_map(|branch| Self::read(branch, schema, root)).collect(),
        };
        let empty = node.rules.is_empty()
            && node.fields.is_empty()
            && node.values.is_none()
            && node.items.is_none()
            && node.branches.is_empty();
        (!empty).then_some(node)
    }
}

impl Rule {
    fn read(rule: &Value, schema: &Value, declared: &Declared) -> Self {
        let optional = rule["optionalOldSelf"] == true;
        let scope = scope(declared, optional);
        let program = compile(text(rule, "rule"), &scope);
        let message = text(rule, "messageExpression");
        Self {
            text: text(rule, "rule").trim().to_owned(),
            transition: program.as_ref().is_ok_and(|program| program.mentions("oldSelf")),
            program,
            message: text(rule, "message").trim().to_owned(),
            message_expression: Program::compile(message, &scope).ok().filter(|_| !message.is_empty()),
            reason: match text(rule, "reason") {
                "FieldValueForbidden" => Problem::Forbidden,
                "FieldValueRequired" => Problem::Required,
                "FieldValueDuplicate" => Problem::Duplicate,
                _ => Problem::Invalid,
            },
            field: field_at(schema, text(rule, "fieldPath")).map(|(path, _)| path),
            optional,
        }
    }

    /// What the rule is called in messages about itself.
    fn name(&self) -> &str {
        if self.message.is_empty() { &self.text } else { &self.message }
    }
}

/// The names that a rule may use.
fn scope(declared: &Declared, optional: bool) -> Scope {
    let kind = declared.kind();
    let old = if optional { Type::Optional(Box::new(kind.clone())) } else { kind.clone() };
    Scope::new().with("self", kind).with("oldSelf", old)
}

/// Reads a rule, which must give a truth value.
fn compile(source: &str, scope: &Scope) -> Result<Program, String> {
    let program = Program::compile(source, scope).map_err(|error| format!("compilation failed: {error}"))?;
    if matches!(program.output(), Type::Plain("bool")) {
        Ok(program)
    } else {
        Err("cel expression must evaluate to a bool".to_owned())
    }
}
