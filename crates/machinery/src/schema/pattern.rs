//! Regular expressions of schemas. They are written for RE2 as Go has it; where Rust's dialect reads the same text
//! otherwise, it is respelt: `\w`, `\d`, `\s` and `\b` mean ASCII, a lone brace is a brace, and inside a class a
//! bracket or a doubled operator is only itself.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use regex::Regex;

/// A regular expression, compiled when first used.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) text: Box<str>,
    compiled: OnceLock<Option<Box<Regex>>>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether `text` matches somewhere. An expression that does not compile matches everything: the place to
    /// refuse it is where the schema is accepted.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let compile = || Regex::new(&respelt(&self.text)).ok().map(Box::new);
        self.compiled.get_or_init(compile).as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// What is wrong with the expression as text. One that is only too large to compile here is not wrong.
pub(super) fn syntax_error(pattern: &str) -> Option<String> {
    match Regex::new(&respelt(pattern)) {
        Err(regex::Error::Syntax(message)) => Some(message),
        _ => None,
    }
}

/// The expression in Rust's spelling.
fn respelt(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let (mut in_class, mut in_repetition) = (false, false);
    while let Some(c) = rest.chars().next() {
        let (taken, text) = match (c, in_class) {
            ('\\', _) => escape(rest, in_class),
            ('[', false) => {
                in_class = true;
                // A bracket that closes right after the opening one is only itself.
                let head = ["[^]", "[]"].into_iter().find(|head| rest.starts_with(*head));
                match head {
                    Some("[^]") => (3, "[^\\]".to_owned()),
                    Some(_) => (2, "[\\]".to_owned()),
                    None if rest.starts_with("[^") => (2, "[^".to_owned()),
                    None => (1, "[".to_owned()),
                }
            }
            ('[', true) => match named_class(rest) {
                Some(name) => (name.len(), name.to_owned()),
                None => (1, "\\[".to_owned()),
            },
            (']', true) => {
                in_class = false;
                (1, "]".to_owned())
            }
            ('&' | '~', true) => (1, format!("\\{c}")),
            ('-', true) if rest.starts_with("--") => (1, "\\-".to_owned()),
            ('{', false) => {
                in_repetition = is_repetition(rest);
                (1, if in_repetition { "{" } else { "\\{" }.to_owned())
            }
            ('}', false) => (1, if std::mem::take(&mut in_repetition) { "}" } else { "\\}" }.to_owned()),
            _ => (c.len_utf8(), c.to_string()),
        };
        out.push_str(&text);
        rest = &rest[taken..];
    }
    out
}

/// The escape at the start of `rest`: how many bytes it takes, and its new spelling.
fn escape(rest: &str, in_class: bool) -> (usize, String) {
    let Some(letter) = rest[1..].chars().next() else { return (1, "\\".to_owned()) };
    // A class by name, or a character by number: the braces belong to the escape.
    if matches!(letter, 'p' | 'P' | 'x') && rest[2..].starts_with('{') {
        let taken = rest.find('}').map_or(rest.len(), |end| end + 1);
        return (taken, rest[..taken].to_owned());
    }
    let ascii = match letter {
        'w' | 'W' => "0-9A-Za-z_",
        'd' | 'D' => "0-9",
        's' | 'S' => "\\t\\n\\f\\r ",
        'b' | 'B' if !in_class => return (2, format!("(?-u:\\{letter})")),
        other => return (1 + other.len_utf8(), format!("\\{other}")),
    };
    let spelt = match (letter.is_ascii_uppercase(), in_class) {
        (true, _) => format!("[^{ascii}]"),
        (false, true) => ascii.to_owned(),
        (false, false) => format!("[{ascii}]"),
    };
    (2, spelt)
}

/// The named class, such as `[:alpha:]`, that `rest` begins with.
fn named_class(rest: &str) -> Option<&str> {
    let tail = rest.strip_prefix("[:")?.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '^');
    tail.starts_with(":]").then(|| &rest[..rest.len() - tail.len() + 2])
}

/// Whether `rest` begins with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &str) -> bool {
    // Looked for no further than it can go on: an expression may be all braces.
    let tail = rest[1..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
    let Some(inner) = rest[..rest.len() - tail.len()].strip_prefix('{').filter(|_| tail.starts_with('}'))
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match inner.split_once(',') {
        Some((from, to)) => digits(from) && (to.is_empty() || digits(to)),
        None => digits(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_re2() {
        let cases = [
            (r"^[a-z]([-a-z0-9]*[a-z0-9])?$", "a-b", true),
            (r"^\d{2,3}$", "123", true),
            (r"^\d{2,3}$", "١٢", false),
            (r"^\w+$", "é", false),
            (r"^[\w.-]{1,253}$", "a.b-c", true),
            (r"^\S+$", "a b", false),
            (r"^[^\s]+$", "ab", true),
            (r"^{.*}$", "{x}", true),
            (r"^a{b$", "a{b", true),
            (r"^[[]x[]]$", "[x]", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^[&&]$", "&", true),
            (r"^[a--]$", "-", true),
            (r"^\/dev\/[a-z]+$", "/dev/sda", true),
            (r"\bfoo\b", "a foo b", true),
            (r"^\pL+$", "é", true),
            (r"^\p{Greek}+$", "α", true),
            (r"^[\W]$", "-", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(syntax_error(pattern), None, "{pattern} as {}", respelt(pattern));
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn braces_take_no_longer_than_letters() {
        // Each used to be looked up among all the others.
        for text in ["{", "}", "{1,", "{}", "a{2}", "[[:"] {
            assert!(respelt(&text.repeat(1 << 16)).len() >= 1 << 16);
        }
        assert_eq!(respelt("a{2}}{b}{3"), r"a{2}\}\{b\}\{3");
    }

    #[test]
    fn nonsense_is_an_error_and_size_is_not() {
        for pattern in ["(", "[a", "a**b(", "\\"] {
            assert!(syntax_error(pattern).is_some(), "{pattern}");
        }
        assert_eq!(syntax_error(r"^(\pL{1,1000}){1,1000}$"), None);
    }
}
