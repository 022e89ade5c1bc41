//! What is wrong with the rules of a definition: expressions that do not compile, and such that could cost too much.

use std::sync::Arc;

use serde_json::Value;

use super::declare::{REQUEST, declare};
use super::{WORD, compile, is_embedded, scope, text};
use crate::cel::{Declared, Program, Type};
use crate::field::{FieldError, Path, Problem};

/// Most that one rule may be estimated to cost for one object.
const RULE_LIMIT: u64 = 10_000_000;
/// Most that all rules of a schema may be estimated to cost for one object.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// How many of the dearest rules are named when all together cost too much.
const NAMED: usize = 4;

/// Everything that is wrong with the rules of a structural schema that stands at `path`.
pub fn problems(open_api_v3_schema: &Value, path: &Path) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new(), total: 0, dear: Vec::new() };
    check.node(open_api_v3_schema, true, &Place { path: path.clone(), times: Some(1), uncorrelated: None });
    check.dear.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    if check.total > SCHEMA_LIMIT {
        let detail =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let dear = check.dear.drain(..).take(NAMED);
        check.errors.extend(dear.map(|(path, _)| FieldError::forbidden(path, detail)));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        check.errors.push(FieldError::forbidden(path.clone(), beyond(what, check.total, SCHEMA_LIMIT)));
    }
    check.errors
}

/// Where in a schema the walk is.
struct Place {
    path: Path,
    /// How many values there can be here in one object, where all lists and maps above have bounds.
    times: Option<u64>,
    /// The list above whose items cannot be found in the object as it was.
    uncorrelated: Option<Path>,
}

struct Check {
    errors: Vec<FieldError>,
    total: u64,
    /// Rules that take more than a hundredth of what all may take.
    dear: Vec<(Path, u64)>,
}

impl Check {
    fn node(&mut self, schema: &Value, root: bool, place: &Place) {
        let bound = |word: &str| schema[word].as_i64().map(|bound| u64::try_from(bound).unwrap_or(0));
        let below = |path: Path, factor: Option<u64>| Place {
            path,
            times: place.times.zip(factor).map(|(times, factor)| times.saturating_mul(factor)),
            uncorrelated: place.uncorrelated.clone(),
        };
        let values = &schema["additionalProperties"];
        if values.is_object() {
            let place = below(place.path.child("additionalProperties"), bound("maxProperties"));
            self.node(values, is_embedded(values), &place);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let place = below(place.path.child("properties").key(name), Some(1));
            self.node(field, is_embedded(field), &place);
        }
        if let Some(items) = schema.get("items") {
            let mut inner = below(place.path.child("items"), bound("maxItems"));
            if text(schema, "x-kubernetes-list-type") != "map" {
                inner.uncorrelated.get_or_insert_with(|| place.path.clone());
            }
            self.node(items, is_embedded(items), &inner);
        }
        let rules = schema[WORD].as_array().map_or(&[][..], Vec::as_slice);
        if rules.is_empty() {
            return;
        }
        let Some(declared) = declare(schema, root) else {
            let detail =
                "the schema does not say what values look like here, so that rules cannot look at them";
            self.errors.push(FieldError::new(place.path.child(WORD), Problem::Internal, Value::Null, detail));
            return;
        };
        for (at, rule) in rules.iter().enumerate() {
            self.rule(rule, &declared, place, &place.path.child(WORD).index(at));
        }
    }

    fn rule(&mut self, rule: &Value, declared: &Arc<Declared>, place: &Place, path: &Path) {
        let optional = rule["optionalOldSelf"] == true;
        let scope = scope(declared, optional);
        let at = path.child("rule");
        let program = match compile(text(rule, "rule"), &scope) {
            Ok(program) => program,
            Err(why) => {
                self.errors.push(FieldError::invalid(at, rule.clone(), why));
                return;
            }
        };
        let times = place.times.unwrap_or(REQUEST / (declared.bytes + 1));
        let cost = program.most(&scope, declared).saturating_mul(times);
        self.charge(&at, "estimated rule cost", cost);
        let message = text(rule, "messageExpression");
        if !message.is_empty() {
            let at = path.child("messageExpression");
            match Program::compile(message, &scope) {
                Err(error) => {
                    let why = format!("messageExpression compilation failed: {error}");
                    self.errors.push(FieldError::invalid(at, rule.clone(), why));
                }
                Ok(program) if !matches!(program.output(), Type::Plain("string")) => {
                    let why = "messageExpression must evaluate to a string";
                    self.errors.push(FieldError::invalid(at, rule.clone(), why));
                }
                Ok(program) => {
                    let cost = program.most(&scope, declared);
                    self.charge(&at, "estimated messageExpression cost", cost);
                }
            }
        }
        if program.mentions("oldSelf") {
            if let Some(list) = &place.uncorrelated {
                let detail = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
                );
                self.errors.push(FieldError::invalid(at, text(rule, "rule"), detail));
            }
        } else if let Some(given) = rule["optionalOldSelf"].as_bool() {
            let detail = "may not be set if oldSelf is not used in rule";
            self.errors.push(FieldError::invalid(path.child("optionalOldSelf"), given, detail));
        }
    }

    fn charge(&mut self, at: &Path, what: &str, cost: u64) {
        if cost > RULE_LIMIT {
            self.errors.push(FieldError::forbidden(at.clone(), beyond(what, cost, RULE_LIMIT)));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.dear.push((at.clone(), cost));
        }
    }
}

/// Says by how much a cost is over its limit.
fn beyond(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, \
         and maxLength where arrays, maps, and strings are declared)"
    )
}
