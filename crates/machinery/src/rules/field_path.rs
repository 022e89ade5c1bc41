//! Paths of fields as definitions write them: `.spec.containers`, `.labels['a/b']`.

use serde_json::Value;

use crate::field::Path;

/// The path as refusals write it, and the schema of the field; nothing if it leads nowhere in `schema`.
pub fn field_at<'s>(schema: &'s Value, written: &str) -> Option<(String, &'s Value)> {
    let (mut path, mut schema, mut rest) = (Path::root(), schema, written);
    while !rest.is_empty() {
        let name;
        (name, rest) = if let Some(quoted) = rest.strip_prefix("['") {
            quoted_name(quoted)?
        } else {
            let plain = rest.strip_prefix('.')?;
            let end = plain.find(['.', '[', ']']).unwrap_or(plain.len());
            (plain[..end].to_owned(), &plain[end..])
        };
        if let Some(fields) = schema["properties"].as_object() {
            schema = fields.get(&name)?;
            path = path.child(&name);
        } else {
            schema = schema.get("additionalProperties").filter(|values| values.is_object())?;
            path = path.key(&name);
        }
    }
    (!path.is_root()).then(|| (path.as_str().to_owned(), schema))
}

/// Reads a name up to its closing quote and bracket; returns what follows, too.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((name, text[at + 1..].strip_prefix(']')?)),
            '\\' => name.push(match chars.next()?.1 {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                c @ ('\'' | '\\') => c,
                _ => return None,
            }),
            c => name.push(c),
        }
    }
    None
}
