//! Selectors say of objects what a plain reading of them says, and their written form means the same.

#![no_main]

use std::borrow::Cow;
use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use machinery::names;
use machinery::selector::{FieldSelector, LabelSelector, Operator, Requirement};
use serde_json::{Value, json};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    text: &'a str,
    terms: Vec<Term<'a>>,
    labels: BTreeMap<&'a str, &'a str>,
    fields: Vec<Field<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Term<'a> {
    key: &'a str,
    operator: u8,
    values: Vec<&'a str>,
}

#[derive(Debug, Arbitrary)]
struct Field<'a> {
    name: &'a str,
    equal: bool,
    value: &'a str,
}

const OPERATORS: [Operator; 6] = [
    Operator::In,
    Operator::NotIn,
    Operator::Exists,
    Operator::DoesNotExist,
    Operator::GreaterThan,
    Operator::LessThan,
];

/// Whether one condition holds, as the API's documentation words it.
fn holds(requirement: &Requirement, labels: &BTreeMap<&str, &str>) -> bool {
    let value = labels.get(requirement.key.as_str()).copied();
    let among = value.is_some_and(|value| requirement.values.iter().any(|listed| listed == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = value.and_then(number).zip(requirement.values.first().and_then(|text| number(text)));
    match requirement.operator {
        Operator::In => among,
        Operator::NotIn => !among,
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
        Operator::GreaterThan => compared.is_some_and(|(value, bound)| value > bound),
        Operator::LessThan => compared.is_some_and(|(value, bound)| value < bound),
    }
}

fn check(selector: &LabelSelector, labels: &BTreeMap<&str, &str>) {
    let object = json!({"metadata": {"labels": labels}});
    let expected = selector.requirements().iter().all(|requirement| holds(requirement, labels));
    assert_eq!(selector.matches(&object), expected, "{selector} on {object}");
    assert_eq!(LabelSelector::parse(&selector.to_string()).as_ref(), Ok(selector), "{selector}");
}

/// The object form of a selector, for the operators that it has.
fn expression(requirement: &Requirement) -> Option<Value> {
    let operator = match requirement.operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
        Operator::GreaterThan | Operator::LessThan => return None,
    };
    Some(json!({"key": requirement.key, "operator": operator, "values": requirement.values}))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fuzz_target!(|input: Input| {
    if let Ok(selector) = LabelSelector::parse(input.text) {
        for requirement in selector.requirements() {
            assert!(names::label_key(&requirement.key).is_empty(), "{requirement}");
        }
        check(&selector, &input.labels);
    }
    let _ = FieldSelector::parse(input.text);

    let requirements: Vec<Requirement> = input
        .terms
        .iter()
        .filter_map(|term| {
            let mut values: Vec<String> = term.values.iter().map(|value| (*value).to_owned()).collect();
            // Their order means nothing, and the text form is read in this one.
            values.sort();
            values.dedup();
            let operator = OPERATORS[usize::from(term.operator) % OPERATORS.len()];
            Requirement::new(term.key, operator, values).ok()
        })
        .collect();
    if let Some(expressions) = requirements.iter().map(expression).collect::<Option<Value>>() {
        let read = LabelSelector::from_object(&json!({"matchExpressions": expressions}));
        assert_eq!(read, Ok(LabelSelector::new(requirements.clone())));
    }
    check(&LabelSelector::new(requirements), &input.labels);

    // A field's name is anything that no operator and no comma is in.
    let fields: Vec<&Field<'_>> =
        input.fields.iter().filter(|field| !field.name.contains(['=', '!', ',', '\\'])).collect();
    let texts: Vec<String> = fields
        .iter()
        .map(|field| {
            format!("{}{}{}", field.name, if field.equal { "=" } else { "!=" }, escaped(field.value))
        })
        .collect();
    let selector = FieldSelector::parse(&texts.join(",")).expect("it is written as it should be");
    let value_of = |name: &str| input.labels.get(name).map(|value| Cow::Borrowed(*value));
    let expected =
        fields.iter().all(|field| (*value_of(field.name).unwrap_or_default() == *field.value) == field.equal);
    assert_eq!(selector.matches(value_of), expected, "{texts:?} on {:?}", input.labels);
});
