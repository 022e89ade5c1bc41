//! Field selectors: `metadata.name=a,status.phase!=Running`.

use super::SelectorError;

/// Conditions on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Reads a selector. `,`, `=` and `\` inside a value are written with a backslash before them.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_unescaped(text) {
            if part.is_empty() {
                continue;
            }
            let (field, equal, value) = split_operator(part).ok_or_else(|| {
                SelectorError::Rule(format!(
                    "invalid selector: {text:?}; can't understand {part:?}: write FIELD=VALUE or FIELD!=VALUE"
                ))
            })?;
            terms.push(Term { field: field.to_owned(), equal, value: unescape(value)? });
        }
        Ok(Self { terms })
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The fields that are asked for, so that a resource can refuse those it does not index.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|t| t.field.as_str())
    }

    /// The same conditions on fields that are called otherwise; fails with the first one that has no other name.
    ///
    /// # Errors
    /// Returns the field that `name_of` does not know.
    pub fn renamed(mut self, name_of: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        for term in &mut self.terms {
            match name_of(&term.field) {
                Some(name) => term.field = name,
                None => return Err(std::mem::take(&mut term.field)),
            }
        }
        Ok(self)
    }

    /// The value that `field` must have, if the selector pins it.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Whether an object matches whose fields `value_of` tells; a missing field is the empty text.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        self.terms.iter().all(|t| (value_of(&t.field).unwrap_or_default() == t.value) == t.equal)
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    for (i, _) in term.char_indices() {
        let rest = &term[i..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..i], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let shown = other.map(String::from).unwrap_or_default();
                    return Err(SelectorError::Rule(format!(
                        "invalid field selector: invalid escape sequence: \\{shown}"
                    )));
                }
            },
            '=' => {
                return Err(SelectorError::Rule(format!(
                    "invalid field selector: unescaped '=' in value {value:?}: write \\="
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn matches(selector: &str, name: &str) -> bool {
        FieldSelector::parse(selector)
            .expect(selector)
            .matches(|f| (f == "metadata.name").then_some(Cow::Borrowed(name)))
    }

    #[test]
    fn terms_are_joined_by_and() {
        assert!(matches("", "a"));
        assert!(matches("metadata.name=a", "a") && !matches("metadata.name==a", "b"));
        assert!(matches("metadata.name!=a,metadata.name!=b", "c"));
        assert!(matches("spec.nodeName=", "a"));
        assert!(matches(r"metadata.name=a\,b\=c", "a,b=c"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in ["metadata.name", "a=b=c", r"a=b\x", r"a=b\"] {
            assert!(FieldSelector::parse(bad).is_err(), "{bad}");
        }
        let selector = FieldSelector::parse("a=1,b!=2").expect("parses");
        assert_eq!(selector.fields().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((selector.exact("a"), selector.exact("b")), (Some("1"), None));
        let known = |name: &str| (name == "a").then(|| "c".to_owned());
        assert_eq!(selector.renamed(known), Err("b".to_owned()));
        let selector = FieldSelector::parse("a=1").expect("parses").renamed(known).expect("known");
        assert_eq!(selector.exact("c"), Some("1"));
    }
}
