//! What expressions of webhooks and policies may look at, and the conditions under which both are asked.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::admission::{Request, UserInfo};
use machinery::cel::{Activation, Budget, EvalError, Program, Question, Scope, Type, Value as Cel};
use serde_json::{Value, json};

use super::{Context, matching};
use crate::auth::attributes::Attributes;

/// Steps that the conditions of one webhook or policy may take for one request.
const CONDITIONS_BUDGET: u64 = 2_500_000;

/// Something written in CEL: a program, or why it is none.
pub(super) type Expression = Result<Program, String>;

/// The names that conditions of webhooks may use.
pub(crate) fn condition_scope() -> Scope {
    let group_version = |last: &str| {
        Type::members([("group", Type::STRING), ("version", Type::STRING), (last, Type::STRING)])
    };
    let user = Type::members([
        ("username", Type::STRING),
        ("uid", Type::STRING),
        ("groups", Type::List(Box::new(Type::STRING))),
        ("extra", Type::Map(Box::new(Type::List(Box::new(Type::STRING))))),
    ]);
    let request = Type::members([
        ("kind", group_version("kind")),
        ("resource", group_version("resource")),
        ("subResource", Type::STRING),
        ("requestKind", group_version("kind")),
        ("requestResource", group_version("resource")),
        ("requestSubResource", Type::STRING),
        ("name", Type::STRING),
        ("namespace", Type::STRING),
        ("operation", Type::STRING),
        ("userInfo", user),
        ("dryRun", Type::BOOL),
        ("options", Type::Dyn),
    ]);
    Scope::new()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with("request", request)
        .with("authorizer", Type::AUTHORIZER)
}

/// The names that expressions of policies may use; `variables` are those declared before.
pub(crate) fn policy_scope(params: bool, variables: BTreeMap<String, Type>) -> Scope {
    let scope = condition_scope()
        .with("namespaceObject", Type::Dyn)
        .with("variables", Type::Members(Arc::new(variables)));
    if params { scope.with("params", Type::Dyn) } else { scope }
}

/// Reads an expression.
pub(super) fn expression(source: &str, scope: &Scope) -> Expression {
    Program::compile(source, scope).map_err(|error| error.to_string())
}

/// A request as expressions see it. Each part is made when it is first looked at.
pub(super) struct View<'a> {
    context: &'a Context,
    request: &'a Request,
    params: Option<&'a Value>,
    variables: &'a [(String, Expression)],
    budget: &'a Budget,
    object: OnceCell<Cel>,
    old_object: OnceCell<Cel>,
    facts: OnceCell<Cel>,
    namespace: OnceCell<Cel>,
    computed: RefCell<BTreeMap<String, Result<Cel, EvalError>>>,
}

impl<'a> View<'a> {
    pub(super) fn new(context: &'a Context, request: &'a Request, budget: &'a Budget) -> Self {
        Self {
            context,
            request,
            params: None,
            variables: &[],
            budget,
            object: OnceCell::new(),
            old_object: OnceCell::new(),
            facts: OnceCell::new(),
            namespace: OnceCell::new(),
            computed: RefCell::default(),
        }
    }

    /// The same for a policy with these parameters and variables.
    pub(super) fn of_policy(
        mut self,
        params: Option<&'a Value>,
        variables: &'a [(String, Expression)],
    ) -> Self {
        (self.params, self.variables) = (params, variables);
        self
    }

    /// Evaluates an expression.
    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Cel, EvalError> {
        match expression {
            Ok(program) => program.evaluate(self, self.budget),
            Err(why) => Err(EvalError::Failed(format!("compilation failed: {why}"))),
        }
    }

    fn facts(&self) -> Cel {
        let mut facts = super::webhook::request_facts(self.request, &self.context.resource);
        if let Some(fields) = facts.as_object_mut() {
            for hidden in ["uid", "object", "oldObject"] {
                fields.shift_remove(hidden);
            }
            // What is left out in JSON is empty in an expression.
            for text in ["subResource", "requestSubResource", "name", "namespace"] {
                fields.entry(text).or_insert_with(|| "".into());
            }
            let user = &self.request.user_info;
            fields.insert(
                "userInfo".to_owned(),
                json!({"username": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra}),
            );
        }
        Cel::from(&facts)
    }

    fn user(&self, question: &Question) -> UserInfo {
        match &question.account {
            None => self.request.user_info.clone(),
            Some((namespace, name)) => UserInfo {
                username: format!("system:serviceaccount:{namespace}:{name}"),
                groups: vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ],
                ..UserInfo::default()
            },
        }
    }
}

impl Activation for View<'_> {
    fn variable(&self, name: &str) -> Option<Cel> {
        Some(match name {
            "object" => self.object.get_or_init(|| Cel::from(&self.request.object)).clone(),
            "oldObject" => self.old_object.get_or_init(|| Cel::from(&self.request.old_object)).clone(),
            "request" => self.facts.get_or_init(|| self.facts()).clone(),
            "params" => self.params.map_or(Cel::Null, Cel::from),
            "namespaceObject" => self
                .namespace
                .get_or_init(|| {
                    let name = &self.request.namespace;
                    let found = matching::namespace(&self.context.server, name).filter(|_| !name.is_empty());
                    found.map_or(Cel::Null, |namespace| Cel::from(&namespace))
                })
                .clone(),
            "authorizer" => Cel::Authorizer(Arc::default()),
            _ => return None,
        })
    }

    fn member(&self, variable: &str, field: &str) -> Option<Result<Cel, EvalError>> {
        if (variable, field) == ("authorizer", "requestResource") {
            let request = self.request;
            return Some(Ok(Cel::Authorizer(Arc::new(Question {
                group: Some(request.resource.group.clone()),
                resource: Some(request.resource.resource.clone()),
                subresource: request.sub_resource.clone(),
                namespace: request.namespace.clone(),
                name: request.name.clone(),
                ..Question::default()
            }))));
        }
        if variable != "variables" {
            return None;
        }
        if let Some(known) = self.computed.borrow().get(field) {
            return Some(known.clone());
        }
        let (_, expression) = self.variables.iter().find(|(name, _)| name == field)?;
        // A variable sees only those before it, so this comes to an end.
        let value = self.evaluate(expression);
        self.computed.borrow_mut().insert(field.to_owned(), value.clone());
        Some(value)
    }

    fn authorize(&self, question: &Question) -> (bool, String) {
        let attributes = Attributes {
            verb: &question.verb,
            group: question.group.as_deref().unwrap_or_default(),
            resource: question.resource.as_deref().unwrap_or_default(),
            subresource: &question.subresource,
            namespace: &question.namespace,
            name: &question.name,
            path: question.path.as_deref().unwrap_or_default(),
        };
        let server = &self.context.server;
        let decision = server.auth().decide(server, &self.user(question), &attributes);
        (decision.allowed, decision.reason)
    }
}

/// `matchConditions`: names and expressions.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions(Vec<(String, Expression)>);

impl Conditions {
    pub(super) fn read(value: &Value, scope: &Scope) -> Self {
        let all = value.as_array().into_iter().flatten();
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Self(all.map(|one| (text(one, "name"), expression(&text(one, "expression"), scope))).collect())
    }

    /// Whether all hold. One that does not settles it, whatever goes wrong with others.
    ///
    /// # Errors
    /// Says which could not be evaluated.
    pub(super) fn hold(
        &self,
        context: &Context,
        request: &Request,
        params: Option<&Value>,
    ) -> Result<bool, String> {
        let budget = Budget::new(CONDITIONS_BUDGET);
        let view = View::new(context, request, &budget).of_policy(params, &[]);
        let mut wrong = Vec::new();
        for (name, expression) in &self.0 {
            match view.evaluate(expression) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Ok(false),
                Ok(other) => {
                    wrong.push(format!("matchCondition {name:?} gave {}, not bool", other.type_name()));
                }
                Err(error) => wrong.push(format!("matchCondition {name:?} failed: {error}")),
            }
        }
        if wrong.is_empty() { Ok(true) } else { Err(wrong.join(", ")) }
    }
}
