//! One policy: its expressions, and what they say of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::admission::Request;
use machinery::cel::{Budget, EvalError, Program, Scope, Type, Value as Cel};
use machinery::object;
use serde_json::Value;

use super::parameters::ParameterKind;
use crate::admission::conditions::{Conditions, Expression, View, expression};
use crate::admission::matching::Criteria;
use crate::admission::{Context, policy_scope};

/// Most bytes of what an expression says to a client.
const MESSAGE_MAX: usize = 5 << 10;

/// One policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) fails_closed: bool,
    pub(super) criteria: Criteria,
    pub(super) parameters: Option<ParameterKind>,
    conditions: Conditions,
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    annotations: Vec<(String, Expression)>,
}

#[derive(Debug)]
struct Validation {
    text: String,
    rule: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

/// What speaks against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Which validation it is of; the first for what none of them says.
    pub(super) index: usize,
    pub(super) message: String,
    /// The word of a reason; empty means `Invalid`.
    pub(super) reason: String,
}

impl Decision {
    pub(super) fn failure(message: String) -> Self {
        Self { index: 0, message, reason: String::new() }
    }
}

pub(super) fn text(value: &Value, field: &str) -> String {
    object::str_at(value, &[field]).trim().to_owned()
}

/// Reads the variables of a policy; returns what all other expressions may name, too.
fn variables(spec: &Value) -> (Vec<(String, Expression)>, Scope) {
    let params = !spec["paramKind"].is_null();
    let mut types: BTreeMap<String, Type> = BTreeMap::new();
    let mut read = Vec::new();
    for variable in spec["variables"].as_array().into_iter().flatten() {
        let name = text(variable, "name");
        // Each sees those before it, so that none goes round in a circle.
        let compiled = expression(&text(variable, "expression"), &policy_scope(params, types.clone()));
        types.insert(name.clone(), compiled.as_ref().map_or(Type::Dyn, |program| program.output().clone()));
        read.push((name, compiled));
    }
    (read, policy_scope(params, types))
}

impl Policy {
    pub(super) fn read(policy: &Value) -> Vec<Arc<Self>> {
        let spec = &policy["spec"];
        let (variables, scope) = variables(spec);
        let items = |field: &str| spec[field].as_array().into_iter().flatten();
        let validations = items("validations").map(|validation| {
            let source = text(validation, "expression");
            let message = text(validation, "messageExpression");
            Validation {
                rule: expression(&source, &scope),
                text: source,
                message: text(validation, "message"),
                message_expression: (!message.is_empty()).then(|| expression(&message, &scope)),
                reason: text(validation, "reason"),
            }
        });
        let annotations = items("auditAnnotations")
            .map(|one| (text(one, "key"), expression(&text(one, "valueExpression"), &scope)));
        vec![Arc::new(Self {
            name: object::name(policy).to_owned(),
            fails_closed: text(spec, "failurePolicy") != "Ignore",
            criteria: Criteria::of_policy(&spec["matchConstraints"], false),
            parameters: ParameterKind::read(&spec["paramKind"]),
            conditions: Conditions::read(&spec["matchConditions"], &scope),
            validations: validations.collect(),
            annotations: annotations.collect(),
            variables,
        })]
    }

    /// Returns what speaks against `request`.
    pub(super) fn judge(
        &self,
        context: &Context,
        request: &Request,
        parameters: Option<&Value>,
        budget: &Budget,
    ) -> Vec<Decision> {
        match self.conditions.hold(context, request, parameters) {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(_) if !self.fails_closed => return Vec::new(),
            Err(why) => return vec![Decision::failure(why)],
        }
        let view = View::new(context, request, budget).of_policy(parameters, &self.variables);
        let mut decisions = Vec::new();
        for (index, validation) in self.validations.iter().enumerate() {
            match view.evaluate(&validation.rule) {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => decisions.push(Decision { index, ..validation.decision(&view) }),
                Err(_) if !self.fails_closed => {}
                Err(EvalError::Budget) if budget.left() == 0 => {
                    let why = "validation failed due to running out of cost budget, no further validation rules \
                               will be run";
                    decisions.push(Decision { index, ..Decision::failure(why.to_owned()) });
                    break;
                }
                Err(why) => {
                    let text = &validation.text;
                    let why = format!("expression '{text}' resulted in error: {why}");
                    decisions.push(Decision { index, ..Decision::failure(why) });
                }
            }
        }
        for (key, expression) in &self.annotations {
            if let Ok(Cel::String(value)) = view.evaluate(expression) {
                let key = format!("{}/{key}", self.name);
                crate::audit::annotate(&key, &value);
            }
        }
        decisions
    }
}

impl Validation {
    /// What is said to the client: the message's expression, the message, or the rule itself.
    fn decision(&self, view: &View<'_>) -> Decision {
        let computed = self.message_expression.as_ref().and_then(|expression| view.evaluate(expression).ok());
        let computed = computed.as_ref().and_then(Cel::as_str).map(str::trim);
        let usable = |text: &&str| !text.is_empty() && !text.contains('\n') && text.len() <= MESSAGE_MAX;
        let message = match computed.filter(usable) {
            Some(text) => text.to_owned(),
            None if !self.message.is_empty() => self.message.clone(),
            None => format!("failed expression: {}", self.text),
        };
        Decision { index: 0, message, reason: self.reason.clone() }
    }
}

/// Expressions that do not compile or do not give what they must: path below `spec`, text, what is wrong.
pub(super) fn problems(spec: &Value) -> BTreeMap<String, (String, String)> {
    let mut problems = BTreeMap::new();
    let mut note = |path: String, source: String, compiled: &Expression, wanted: Option<&str>| {
        let wrong = match (compiled, wanted) {
            (Err(why), _) => format!("compilation failed: {why}"),
            (Ok(program), Some(wanted)) if !gives(program, wanted) => format!("must evaluate to {wanted}"),
            _ => return,
        };
        problems.insert(path, (source, wrong));
    };
    let (variables, scope) = variables(spec);
    for (at, (_, compiled)) in variables.iter().enumerate() {
        let source = text(&spec["variables"][at], "expression");
        note(format!("variables[{at}].expression"), source, compiled, None);
    }
    for (list, field, wanted) in [
        ("validations", "expression", "bool"),
        ("validations", "messageExpression", "string"),
        ("matchConditions", "expression", "bool"),
        ("auditAnnotations", "valueExpression", "string"),
    ] {
        for (at, item) in spec[list].as_array().into_iter().flatten().enumerate() {
            let source = text(item, field);
            if !source.is_empty() {
                let compiled = expression(&source, &scope);
                note(format!("{list}[{at}].{field}"), source, &compiled, Some(wanted));
            }
        }
    }
    problems
}

/// Whether the result may be of the type `wanted`. An annotation may also be null.
fn gives(program: &Program, wanted: &str) -> bool {
    matches!(program.output(), Type::Dyn) || {
        let found = program.output().to_string();
        found == wanted || (wanted == "string" && found == "null")
    }
}
