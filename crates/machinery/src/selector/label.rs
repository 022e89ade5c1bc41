//! Label selectors: as text (`a=1,b in (x,y),!c`) and as the `LabelSelector` object.

use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::names;
use crate::object;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The value is one of these.
    In,
    /// The value is none of these, or the label is missing.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
    /// The value is a whole number greater than this.
    GreaterThan,
    /// The value is a whole number less than this.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// What it compares with.
    pub values: Vec<String>,
}

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Requirement {
    /// A checked requirement.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, SelectorError> {
        let rule = |text: String| Err(SelectorError::Rule(text));
        if let Some(wrong) = names::label_key(key).first() {
            return rule(format!("key: Invalid value: {key:?}: {wrong}"));
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return rule(
                    "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                        .into(),
                );
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return rule(
                    "values: Invalid value: values set must be empty for exists and does not exist".into(),
                );
            }
            Operator::GreaterThan | Operator::LessThan
                if values.len() != 1 || values[0].parse::<i64>().is_err() =>
            {
                return rule(format!(
                    "values: Invalid value: {values:?}: for 'Gt', 'Lt' operators, exactly one integer is required"
                ));
            }
            _ => {}
        }
        for value in &values {
            if let Some(wrong) = names::label_value(value).first() {
                return rule(format!("values[0][{key}]: Invalid value: {value:?}: {wrong}"));
            }
        }
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        match (self.operator, value) {
            (Operator::In, Some(v)) => self.values.iter().any(|x| x == v),
            (Operator::NotIn, Some(v)) => self.values.iter().all(|x| x != v),
            (Operator::NotIn | Operator::DoesNotExist, None) | (Operator::Exists, Some(_)) => true,
            (Operator::In | Operator::Exists | Operator::GreaterThan | Operator::LessThan, None)
            | (Operator::DoesNotExist, Some(_)) => false,
            (Operator::GreaterThan, Some(v)) => number(v) > number(&self.values[0]) && number(v).is_some(),
            (Operator::LessThan, Some(v)) => number(v) < number(&self.values[0]) && number(v).is_some(),
        }
    }
}

impl LabelSelector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Matches no object.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Matches what fulfils all `requirements`.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self { requirements, nothing: false }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        super::parse::requirements(text).map(Self::new)
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`); null matches nothing.
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                let value = value.as_str().unwrap_or_default().to_owned();
                requirements.push(Requirement::new(key, Operator::In, vec![value])?);
            }
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let operator = match object::str_at(expression, &["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError::Rule(format!(
                        "{other:?} is not a valid label selector operator: use In, NotIn, Exists or DoesNotExist"
                    )));
                }
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(object::str_at(expression, &["key"]), operator, values)?);
        }
        Ok(Self::new(requirements))
    }

    /// Reads a plain map of labels that must all be equal, as Services and nodeSelectors use it.
    pub fn from_map(map: &Value) -> Self {
        let labels = map.as_object().into_iter().flatten();
        let requirements = labels.map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.as_str().unwrap_or_default().to_owned()],
        });
        Self::new(requirements.collect())
    }

    /// The conditions.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether labels match that `value_of` tells.
    pub fn matches_labels<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.holds(value_of(&r.key)))
    }

    /// Whether the object's labels match.
    pub fn matches(&self, object: &Value) -> bool {
        self.matches_labels(|key| object::label(object, key))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match (self.operator, self.values.as_slice()) {
            (Operator::In, [one]) => write!(f, "{key}={one}"),
            (Operator::In, many) => write!(f, "{key} in ({})", many.join(",")),
            (Operator::NotIn, [one]) => write!(f, "{key}!={one}"),
            (Operator::NotIn, many) => write!(f, "{key} notin ({})", many.join(",")),
            (Operator::Exists, _) => f.write_str(key),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
            (Operator::GreaterThan, values) => write!(f, "{key}>{}", values.join(",")),
            (Operator::LessThan, values) => write!(f, "{key}<{}", values.join(",")),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object() -> Value {
        json!({"metadata": {"labels": {"app": "web", "tier": "", "n": "7", "example.com/x": "y"}}})
    }

    #[test]
    fn texts_match_or_do_not() {
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , n=7", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("app", true),
            ("!app", false),
            ("!missing", true),
            ("app in (web, db)", true),
            ("app in (db)", false),
            ("app notin (db,cache)", true),
            ("missing notin (db)", true),
            ("missing in (db)", false),
            ("tier=", true),
            ("tier in (,a)", true),
            ("n>6", true),
            ("n<7", false),
            ("app>6", false),
            ("example.com/x=y,app", true),
        ];
        for (text, expected) in cases {
            let selector = LabelSelector::parse(text).expect(text);
            assert_eq!(selector.matches(&object()), expected, "{text}");
        }
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in [
            "=a", "a=b,", ",a", "a in", "a in (", "a in b", "a b", "a=b c", "a!b", "a=@", "/a", "a>x",
            "a=b=c",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_object_form() {
        let selector = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "n", "operator": "NotIn", "values": ["8"]}, {"key": "tier", "operator": "Exists"}],
        });
        let selector = LabelSelector::from_object(&selector).expect("reads");
        assert!(selector.matches(&object()));
        assert_eq!(selector.to_string(), "app=web,n!=8,tier");
        assert!(LabelSelector::from_object(&json!({})).expect("reads").matches(&object()));
        assert!(!LabelSelector::from_object(&Value::Null).expect("reads").matches(&object()));
        assert!(
            LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn the_text_form_parses_back(keys in prop::collection::vec("[a-z]{1,5}", 1..4), values in prop::collection::vec("[a-z0-9]{1,4}", 1..3)) {
            let requirements: Vec<_> = keys
                .iter()
                .flat_map(|k| {
                    let mut values = values.clone();
                    values.sort();
                    values.dedup();
                    [
                        Requirement { key: k.clone(), operator: Operator::In, values: values.clone() },
                        Requirement { key: k.clone(), operator: Operator::NotIn, values },
                        Requirement { key: k.clone(), operator: Operator::Exists, values: vec![] },
                        Requirement { key: k.clone(), operator: Operator::DoesNotExist, values: vec![] },
                    ]
                })
                .collect();
            let selector = LabelSelector::new(requirements);
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).expect("parses"), selector);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z=!,()<> /.]{0,20}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
