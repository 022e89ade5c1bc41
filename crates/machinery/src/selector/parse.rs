//! Reads label selectors from text: `a=1,b in (x,y),!c,d>3`.

use super::{Operator, Requirement, SelectorError};

/// The conditions in `text`; none when it is empty.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    parser.skip_space();
    if parser.rest.is_empty() {
        return Ok(requirements);
    }
    loop {
        requirements.push(parser.requirement()?);
        parser.skip_space();
        if parser.rest.is_empty() {
            return Ok(requirements);
        }
        if !parser.take(",") {
            return Err(parser.unexpected("',' or the end"));
        }
        parser.skip_space();
        if parser.rest.is_empty() {
            return Err(parser.unexpected("a label key after ','"));
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &'a str {
        let stops = |c: char| c.is_whitespace() || matches!(c, '=' | '!' | ',' | '(' | ')' | '<' | '>');
        let end = self.rest.find(stops).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn unexpected(&self, wanted: &str) -> SelectorError {
        let found = self.rest.chars().next().map(String::from).unwrap_or_default();
        SelectorError::Syntax(format!("found '{found}', expected: {wanted}"))
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        self.skip_space();
        let absent = self.take("!");
        self.skip_space();
        let key = self.word();
        if key.is_empty() {
            return Err(self.unexpected("a label key"));
        }
        self.skip_space();
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        for (token, operator) in [
            ("==", Operator::In),
            ("=", Operator::In),
            ("!=", Operator::NotIn),
            (">", Operator::GreaterThan),
            ("<", Operator::LessThan),
        ] {
            if self.take(token) {
                self.skip_space();
                let value = self.word();
                return Requirement::new(key, operator, vec![value.to_owned()]);
            }
        }
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = match self.word() {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            other => {
                return Err(SelectorError::Syntax(format!(
                    "found '{other}', expected: in, notin, =, ==, !=, <, > or ','"
                )));
            }
        };
        let values = self.values()?;
        Requirement::new(key, operator, values)
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        self.skip_space();
        if !self.take("(") {
            return Err(self.unexpected("'('"));
        }
        let mut values = Vec::new();
        loop {
            self.skip_space();
            values.push(self.word().to_owned());
            self.skip_space();
            if self.take(")") {
                break;
            }
            if !self.take(",") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}
