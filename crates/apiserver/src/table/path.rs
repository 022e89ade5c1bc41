//! The JSONPath of printer columns, label selectors and scale paths: fields, indices, wildcards and filters on
//! equality. More is not allowed there.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Every,
    Filter { field: Vec<String>, equal: bool, value: Value },
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`, or says what is wrong with it.
    ///
    /// # Errors
    /// Returns one sentence about the first thing that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            rest = match rest.strip_prefix('.') {
                Some(after) => field(after, &mut steps)?,
                None => match rest.strip_prefix('[') {
                    Some(after) => bracket(after, &mut steps)?,
                    None => return Err(format!("{rest:?} begins with neither a dot nor a bracket")),
                },
            };
        }
        Ok(Self(steps))
    }

    /// Returns what the path leads to, in order.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        found
    }
}

/// Reads a field name after a dot; a backslash takes the next character as it is.
fn field<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, character)| character)),
            '.' | '[' => {
                end = at;
                break;
            }
            other => name.push(other),
        }
    }
    match name.as_str() {
        // A bare dot stands for the value itself, and may stand before a bracket.
        "" if end == text.len() || text[end..].starts_with('[') => {}
        "" => return Err("recursive descent is not supported".to_owned()),
        "*" => steps.push(Step::Every),
        _ => steps.push(Step::Field(name)),
    }
    Ok(&text[end..])
}

fn bracket<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    if let Some(filter) = text.strip_prefix("?(") {
        let end = filter.find(")]").ok_or("a filter is not closed")?;
        steps.push(parse_filter(&filter[..end])?);
        return Ok(&filter[end + 2..]);
    }
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let end = quoted.find(&format!("{quote}]")).ok_or("a quoted name is not closed")?;
            steps.push(Step::Field(quoted[..end].to_owned()));
            return Ok(&quoted[end + 2..]);
        }
    }
    let end = text.find(']').ok_or("a bracket is not closed")?;
    steps.push(match text[..end].trim() {
        "*" | ":" => Step::Every,
        number => Step::Index(number.parse().map_err(|_| format!("{number:?} is not an index"))?),
    });
    Ok(&text[end + 1..])
}

/// Reads the inside of a filter, `@.type=="Ready"`.
fn parse_filter(text: &str) -> Result<Step, String> {
    let (left, equal, right) = if let Some((left, right)) = text.split_once("==") {
        (left, true, right)
    } else if let Some((left, right)) = text.split_once("!=") {
        (left, false, right)
    } else {
        return Err(format!("the filter {text:?} compares neither with == nor with !="));
    };
    let field = left.trim().strip_prefix('@').ok_or_else(|| format!("{left:?} does not begin with @"))?;
    let field = field.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let right = right.trim();
    let quoted = right.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let value = match quoted {
        Some(text) => Value::from(text),
        None => serde_json::from_str(right).map_err(|_| format!("{right:?} is not a value"))?,
    };
    Ok(Step::Filter { field, equal, value })
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let length = items.len() as i64;
                let at = if *index < 0 { length + index } else { *index };
                usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
            }
            Self::Every => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Filter { field, equal, value: wanted } => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let passes = |item: &&Value| {
                    let mut at = Some(*item);
                    for part in field {
                        at = at.and_then(|value| value.get(part));
                    }
                    at.is_some_and(|found| (found == wanted) == *equal)
                };
                items.iter().filter(passes).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let object = json!({
            "a": {"b": 1}, "x.y": {"z/w": 2}, "l": [{"t": "A", "s": "no"}, {"t": "B", "s": "yes"}], "e": [],
        });
        let table = [
            (".a.b", json!([1])),
            ("{.a.b}", json!([1])),
            (".x\\.y.z/w", json!([2])),
            (".x\\.y['z/w']", json!([2])),
            (".l[0].s", json!(["no"])),
            (".l[-1].s", json!(["yes"])),
            (".l[*].s", json!(["no", "yes"])),
            (".l[?(@.t==\"B\")].s", json!(["yes"])),
            (".l[?(@.t=='B')].s", json!(["yes"])),
            (".l[?(@.t!='B')].s", json!(["no"])),
            (".l[9].s", json!([])),
            (".e[0]", json!([])),
            (".none.at.all", json!([])),
        ];
        for (path, expected) in table {
            let parsed = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(json!(parsed.find(&object)), expected, "{path}");
        }
        for wrong in ["a", ".a[", ".a[x]", ".a[?(@.b>1)]", "..a", ".a['b"] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }
}
