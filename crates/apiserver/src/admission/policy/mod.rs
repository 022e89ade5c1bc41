//! `ValidatingAdmissionPolicy`: rules in CEL that judge requests, and the bindings that put them in force.

mod parameters;
mod rule;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::admission::Request;
use machinery::cel::Budget;
use machinery::object;
use machinery::status::{Cause, Reason, Status};
use serde_json::{Value, json};

use self::rule::{Decision, Policy};
use super::Context;
use super::matching::Criteria;
use super::webhook::Kept;
use crate::Result;

/// Steps that all expressions of one policy may take for one request and one set of parameters.
const BUDGET: u64 = 10_000_000;

/// The policies of an installation and their bindings.
#[derive(Debug)]
pub(super) struct Policies {
    policies: Kept<Arc<Policy>>,
    bindings: Kept<Arc<Binding>>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            policies: Kept::new("validatingadmissionpolicies"),
            bindings: Kept::new("validatingadmissionpolicybindings"),
        }
    }
}

/// One binding.
#[derive(Debug)]
struct Binding {
    name: String,
    policy: String,
    criteria: Option<Criteria>,
    /// Which of `Deny`, `Warn` and `Audit` it does, in the order in which it names them.
    actions: Vec<String>,
    parameters: Value,
}

impl Binding {
    fn read(object: &Value) -> Vec<Arc<Self>> {
        let spec = &object["spec"];
        let actions = spec["validationActions"].as_array().into_iter().flatten();
        let matching = &spec["matchResources"];
        vec![Arc::new(Self {
            name: object::name(object).to_owned(),
            policy: object::str_at(spec, &["policyName"]).to_owned(),
            criteria: (!matching.is_null()).then(|| Criteria::of_policy(matching, true)),
            actions: actions.filter_map(|action| action.as_str().map(str::to_owned)).collect(),
            parameters: spec["paramRef"].clone(),
        })]
    }

    fn does(&self, action: &str) -> bool {
        self.actions.iter().any(|own| own == action)
    }
}

impl Policies {
    /// Judges a request.
    ///
    /// # Errors
    /// Refuses it in the words of the first rule that denies it.
    pub(super) fn validate(
        &self,
        context: &Context,
        request: &Request,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let bindings = self.bindings.current(&context.server, Binding::read);
        if bindings.is_empty() {
            return Ok(());
        }
        let policies = self.policies.current(&context.server, Policy::read);
        let mut refusal = None;
        for policy in policies.iter() {
            let mut own = bindings.iter().filter(|binding| binding.policy == policy.name).peekable();
            if own.peek().is_none() {
                continue;
            }
            let Some(resource) = policy.criteria.matches(context, request)? else { continue };
            let converted;
            let shown = if resource.gvk == context.resource.gvk {
                request
            } else {
                converted = super::webhook::converted(context, &resource, request);
                &converted
            };
            for binding in own {
                if let Some(criteria) = &binding.criteria
                    && criteria.matches(context, request)?.is_none()
                {
                    continue;
                }
                for decision in judge(context, policy, binding, shown) {
                    let denied = enforce(context, policy, binding, request, &decision, warnings);
                    refusal = refusal.or(denied);
                }
            }
        }
        refusal.map_or(Ok(()), |status| Err(Box::new(status)))
    }
}

/// What a policy with one binding says against a request.
fn judge(context: &Context, policy: &Policy, binding: &Binding, request: &Request) -> Vec<Decision> {
    let found = parameters::find(context, policy.parameters.as_ref(), &binding.parameters, request);
    let parameters = match found {
        Ok(parameters) => parameters,
        Err(_) if !policy.fails_closed => return Vec::new(),
        Err(why) => return vec![Decision::failure(format!("failed to configure binding: {why}"))],
    };
    let mut decisions = Vec::new();
    for parameters in &parameters {
        decisions.extend(policy.judge(context, request, parameters.as_ref(), &Budget::new(BUDGET)));
    }
    decisions
}

/// Does with a decision what the binding says; returns the refusal, if it denies.
fn enforce(
    context: &Context,
    policy: &Policy,
    binding: &Binding,
    request: &Request,
    decision: &Decision,
    warnings: &mut Vec<String>,
) -> Option<Status> {
    let (policy, name, why) = (&policy.name, &binding.name, &decision.message);
    if binding.does("Warn") {
        warnings.push(format!(
            "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{name}': {why}"
        ));
    }
    if binding.does("Audit") {
        let failure = json!([{"message": why, "policy": policy, "binding": name,
            "expressionIndex": decision.index, "validationActions": binding.actions}]);
        crate::audit::annotate("validation.policy.admission.k8s.io/validation_failure", &failure.to_string());
    }
    if !binding.does("Deny") {
        return None;
    }
    let message = format!("ValidatingAdmissionPolicy '{policy}' with binding '{name}' denied request: {why}");
    let mut status = Status::forbidden(&context.resource.gvr(), &request.name, &message);
    let (word, code) = match decision.reason.as_str() {
        "Unauthorized" => ("Unauthorized", Reason::Unauthorized.code()),
        "Forbidden" => ("Forbidden", Reason::Forbidden.code()),
        "RequestEntityTooLarge" => ("RequestEntityTooLarge", Reason::RequestEntityTooLarge.code()),
        _ => ("Invalid", Reason::Invalid.code()),
    };
    word.clone_into(&mut status.reason);
    status.code = code;
    let causes = &mut status.details.get_or_insert_default().causes;
    causes.push(Cause { message, ..Cause::default() });
    Some(status)
}

pub(crate) use types::{check as check_types, check_all as check_all_types};

/// Says what is wrong with a policy's expressions, by the path below `spec`.
pub(crate) fn problems(policy: &Value) -> BTreeMap<String, (String, String)> {
    rule::problems(&policy["spec"])
}
