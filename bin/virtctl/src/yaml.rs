//! YAML as Kubernetes' programs write it, byte for byte: keys sorted, lists not indented, texts quoted only where they
//! would read as something else, long lines folded at blanks.

use std::cmp::Ordering;

use serde_json::Value;

/// Writes a document.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut text, fields, 0, false),
        Value::Array(items) if !items.is_empty() => sequence(&mut text, items, 0, false),
        other => {
            scalar(&mut text, other, 0);
            text.push('\n');
        }
    }
    text
}

/// Writes the fields of an object; `begun` says that the first one's line has begun already.
fn mapping(text: &mut String, fields: &serde_json::Map<String, Value>, indent: usize, mut begun: bool) {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by(|(one, _), (other, _)| by_nature(one, other));
    for (key, value) in fields {
        if !std::mem::take(&mut begun) {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&inline(key));
        text.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                text.push('\n');
                mapping(text, fields, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                sequence(text, items, indent, false);
            }
            other => {
                text.push(' ');
                scalar(text, other, indent);
                text.push('\n');
            }
        }
    }
}

fn sequence(text: &mut String, items: &[Value], indent: usize, mut begun: bool) {
    for item in items {
        if !std::mem::take(&mut begun) {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => mapping(text, fields, indent + 2, true),
            Value::Array(items) if !items.is_empty() => sequence(text, items, indent + 2, true),
            other => {
                scalar(text, other, indent);
                text.push('\n');
            }
        }
    }
}

fn scalar(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(string) if string.contains('\n') && fits_a_block(string) => {
            block(text, string, indent + 2);
        }
        Value::String(string) => fold(text, &inline(string), indent + 2),
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        other => text.push_str(&other.to_string()),
    }
}

/// Goes on in a new line at the first blank beyond the width.
fn fold(text: &mut String, inline: &str, indent: usize) {
    const WIDTH: usize = 80;
    let mut column = text.chars().rev().take_while(|character| *character != '\n').count();
    let doubly_quoted = inline.starts_with('"');
    let quoted = doubly_quoted || inline.starts_with('\'');
    let characters: Vec<_> = inline.chars().collect();
    let mut blanks = false;
    for (at, character) in characters.iter().enumerate() {
        let next = characters.get(at + 1).copied().unwrap_or_default();
        let inner = !quoted || (at > 1 && at + 2 < characters.len());
        let breaks =
            *character == ' ' && !blanks && column > WIDTH && inner && (doubly_quoted || next != ' ');
        blanks = *character == ' ';
        if breaks {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
            if doubly_quoted && next == ' ' {
                text.push('\\');
                column += 1;
            }
        } else {
            text.push(*character);
            column += 1;
        }
    }
}

/// Writes lines as they are.
fn block(text: &mut String, string: &str, indent: usize) {
    text.push('|');
    if string.starts_with([' ', '\n']) {
        text.push('2');
    }
    let lines = match string.strip_suffix('\n') {
        None => {
            text.push('-');
            string
        }
        Some(lines) => {
            if lines.is_empty() || lines.ends_with('\n') {
                text.push('+');
            }
            lines
        }
    };
    for line in lines.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
    }
}

fn fits_a_block(string: &str) -> bool {
    !string.contains(" \n") && !string.ends_with(' ') && string.chars().all(is_printable)
}

fn is_printable(character: char) -> bool {
    character == '\n'
        || !(character.is_control() || matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}'))
}

/// Writes a text within a line.
fn inline(string: &str) -> String {
    if is_something_else(string) || string.contains('\n') || !string.chars().all(is_printable) {
        return double_quoted(string);
    }
    if string.starts_with(' ') || string.ends_with(' ') || has_a_meaning(string) {
        return format!("'{}'", string.replace('\'', "''"));
    }
    string.to_owned()
}

/// Whether the characters of a plain text would be read as marks.
fn has_a_meaning(string: &str) -> bool {
    let first = string.chars().next().unwrap_or_default();
    let blank_follows = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\n']);
    string.starts_with("---")
        || string.starts_with("...")
        || "#,[]{}&*!|>'\"%@`".contains(first)
        || ("?:-".contains(first) && blank_follows(&string[1..]))
        || string.contains(" #")
        || string.match_indices(':').any(|(at, _)| blank_follows(&string[at + 1..]))
}

fn double_quoted(string: &str) -> String {
    let mut quoted = String::from('"');
    for character in string.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\0' => quoted.push_str("\\0"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{1b}' => quoted.push_str("\\e"),
            '\u{85}' => quoted.push_str("\\N"),
            '\u{2028}' => quoted.push_str("\\L"),
            '\u{2029}' => quoted.push_str("\\P"),
            other if is_printable(other) => quoted.push(other),
            other if u32::from(other) < 0x100 => quoted.push_str(&format!("\\x{:02X}", u32::from(other))),
            other => quoted.push_str(&format!("\\u{:04X}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a plain text would be read as a number, a truth, a time or nothing.
fn is_something_else(string: &str) -> bool {
    const WORDS: [&str; 16] = [
        "y", "yes", "on", "true", "n", "no", "off", "false", "null", "~", ".nan", ".inf", "+.inf", "-.inf",
        "<<", "=",
    ];
    let lower = string.to_lowercase();
    let cased = string == lower || string == string.to_uppercase() || {
        let mut letters = string.chars();
        letters.next().is_some_and(char::is_uppercase) && letters.as_str() == lower[1..].to_owned()
    };
    string.is_empty() || (cased && WORDS.contains(&lower.as_str())) || is_number(string) || is_time(string)
}

fn is_number(string: &str) -> bool {
    let plain = string.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return false;
    }
    let in_base = |prefix: &str, base: u32| {
        let digits = unsigned.strip_prefix(prefix);
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base)))
    };
    let decimal = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned.parse::<f64>().is_ok();
    decimal || in_base("0x", 16) || in_base("0b", 2) || in_base("0o", 8) || is_sexagesimal(unsigned)
}

/// Numbers such as 1:30:00, which YAML 1.1 has.
fn is_sexagesimal(unsigned: &str) -> bool {
    let mut parts = unsigned.split(':');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let first = parts.next().is_some_and(digits);
    let rest: Vec<_> = parts.collect();
    let sixtieth = |part: &&str| {
        let whole = part.split('.').next().unwrap_or_default();
        digits(whole) && whole.len() <= 2 && (whole.len() < 2 || whole < "60")
    };
    first && !rest.is_empty() && rest.iter().all(sixtieth)
}

/// Dates, with a time or without.
fn is_time(string: &str) -> bool {
    let (date, time) = string.split_at(string.find(['T', 't', ' ']).unwrap_or(string.len()));
    let parts: Vec<_> = date.split('-').collect();
    let digits = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let [year, month, day] = parts[..] else { return false };
    let clock = time.is_empty()
        || (time[1..].starts_with(|first: char| first.is_ascii_digit()) && time.matches(':').count() >= 2);
    year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2) && clock
}

/// Orders keys as people do: numbers by their value, letters behind all else.
fn by_nature(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let Some(at) = (0..one.len().min(other.len())).find(|at| one[*at] != other[*at]) else {
        return one.len().cmp(&other.len());
    };
    let (left, right) = (one[at], other[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (true, true) => return left.cmp(&right),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let number = |text: &[char]| {
        let start =
            text[..at].iter().rposition(|before| !before.is_ascii_digit()).map_or(0, |before| before + 1);
        let digits: String = text[start..].iter().take_while(|digit| digit.is_ascii_digit()).collect();
        digits.parse::<u64>().ok()
    };
    match (number(&one), number(&other)) {
        (Some(left), Some(right)) if left != right => left.cmp(&right),
        _ => left.cmp(&right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_written_as_kubernetes_programs_write_them() {
        let value = json!({
            "spec": {"template": {"metadata": {}}, "list": [{"name": "n", "devices": [1, "2"]}, ["a", []]], "none": null},
            "apiVersion": "v1",
            "data": "#cloud-config\nuser: u\n\nend",
            "item10": 1, "item9": true,
        });
        let expected = "apiVersion: v1\ndata: |-\n  #cloud-config\n  user: u\n\n  end\nitem9: true\nitem10: 1\nspec:\n  \
                        list:\n  - devices:\n    - 1\n    - \"2\"\n    name: \"n\"\n  - - a\n    - []\n  none: null\n  \
                        template:\n    metadata: {}\n";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn texts_are_quoted_where_they_would_read_as_something_else() {
        for (text, written) in [
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("Yes", "\"Yes\""),
            ("yEs", "yEs"),
            ("12", "\"12\""),
            ("1e3", "\"1e3\""),
            ("1Gi", "1Gi"),
            ("0x1f", "\"0x1f\""),
            ("1.2.3", "1.2.3"),
            ("22:22", "\"22:22\""),
            ("22:80", "22:80"),
            ("2026-01-02", "\"2026-01-02\""),
            ("2026-01-02T03:04:05Z", "\"2026-01-02T03:04:05Z\""),
            ("00-11-22", "00-11-22"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("a #b", "'a #b'"),
            ("*", "'*'"),
            ("!a/b", "'!a/b'"),
            ("it's", "it's"),
            ("'it", "'''it'"),
            (" a", "' a'"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            ("a\tb", "\"a\\tb\""),
            ("a \nb", "\"a \\nb\""),
            ("ü", "ü"),
        ] {
            assert_eq!(document(&json!(text)), format!("{written}\n"), "{text:?}");
        }
        let long = "0123456789 ".repeat(9);
        let folded = format!("a: {}\n  0123456789\n", "0123456789 ".repeat(8).trim_end());
        assert_eq!(document(&json!({"a": long.trim_end()})), folded);
        assert_eq!(document(&json!({"a": "b\n"})), "a: |\n  b\n");
        assert_eq!(document(&json!({"a": "b\n\n"})), "a: |+\n  b\n\n");
        assert_eq!(document(&json!({"a": " b\nc"})), "a: |2-\n   b\n  c\n");
    }
}
