//! Questions about rights: `authorizer.group('apps').resource('deployments').check('create').allowed()`.

use std::sync::Arc;

use super::super::EvalError;
use super::super::eval::{Activation, Question};
use super::super::value::Value;
use super::Answer;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    allowed: bool,
    reason: String,
}

pub(super) fn method(name: &str, args: &[Value], activation: &dyn Activation) -> Answer {
    match args {
        [Value::Decision(checked)] => Some(Ok(match name {
            "allowed" => Value::Bool(checked.allowed),
            "reason" => Value::from(checked.reason.as_str()),
            "errored" => Value::Bool(false),
            "error" => Value::from(""),
            _ => return None,
        })),
        [Value::Authorizer(question), rest @ ..] => ask(name, question, rest, activation),
        _ => None,
    }
}

fn ask(name: &str, question: &Question, args: &[Value], activation: &dyn Activation) -> Answer {
    let mut next = question.clone();
    let texts: Option<Vec<&str>> = args.iter().map(Value::as_str).collect();
    match (name, texts?.as_slice()) {
        ("path", [path]) if next.group.is_none() => {
            if path.is_empty() {
                return Some(Err(EvalError::failed("path must not be empty")));
            }
            next.path = Some((*path).to_owned());
        }
        ("serviceAccount", [namespace, name]) => {
            next.account = Some(((*namespace).to_owned(), (*name).to_owned()));
        }
        ("group", [group]) if next.path.is_none() => next.group = Some((*group).to_owned()),
        ("resource", [resource]) if next.group.is_some() => {
            if resource.is_empty() {
                return Some(Err(EvalError::failed("resource must not be empty")));
            }
            next.resource = Some((*resource).to_owned());
        }
        ("subresource", [subresource]) if next.resource.is_some() => {
            (*subresource).clone_into(&mut next.subresource);
        }
        ("namespace", [namespace]) if next.resource.is_some() => (*namespace).clone_into(&mut next.namespace),
        ("name", [name]) if next.resource.is_some() => (*name).clone_into(&mut next.name),
        ("check", [verb]) if next.resource.is_some() || next.path.is_some() => {
            (*verb).clone_into(&mut next.verb);
            let (allowed, reason) = activation.authorize(&next);
            return Some(Ok(Value::Decision(Arc::new(Checked { allowed, reason }))));
        }
        _ => return None,
    }
    Some(Ok(Value::Authorizer(Arc::new(next))))
}
