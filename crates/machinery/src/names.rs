//! Rules for names: of objects, labels, annotations, finalizers; and the stem of generated names.
//!
//! Each check returns the sentences that say what is wrong; an empty list means the text is fine.

/// Longest DNS label.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;
/// Longest stem that is kept when a name is generated: a name of at most 63 with 5 characters added.
pub const GENERATED_STEM_MAX: usize = LABEL_MAX - GENERATED_SUFFIX;
/// How many random characters a generated name ends in.
pub const GENERATED_SUFFIX: usize = 5;
/// The characters of a generated suffix: no vowels (no words by chance) and none that look alike.
pub const GENERATED_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
    and must start and end with an alphanumeric character (for example 'my-name')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '-' or '.', and must start and end with an alphanumeric character (for example 'example.com')";
const LABEL_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
    with an alphabetic character, and end with an alphanumeric character (for example 'my-name')";
const KEY_NAME_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (for example 'MyName')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' \
    or '.', and must start and end with an alphanumeric character (for example 'my_value')";

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn is_lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_label_shape(text: &[u8], first: fn(u8) -> bool) -> bool {
    match text {
        [] => false,
        [only] => first(*only),
        [a, middle @ .., z] => {
            first(*a) && is_lower_alnum(*z) && middle.iter().all(|b| is_lower_alnum(*b) || *b == b'-')
        }
    }
}

fn is_qualified_shape(text: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match text {
        [] => false,
        [only] => only.is_ascii_alphanumeric(),
        [a, middle @ .., z] => {
            a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric() && middle.iter().all(inner)
        }
    }
}

/// Checks an RFC 1123 label: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !is_label_shape(text.as_bytes(), is_lower_alnum) {
        wrong.push(LABEL_RULE.to_owned());
    }
    wrong
}

/// Checks an RFC 1035 label: as a DNS label, but it begins with a letter (Service names).
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !is_label_shape(text.as_bytes(), |b| b.is_ascii_lowercase()) {
        wrong.push(LABEL_1035_RULE.to_owned());
    }
    wrong
}

/// Checks an RFC 1123 subdomain: labels joined by dots, at most 253 in all.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    if !text.split('.').all(|part| is_label_shape(part.as_bytes(), is_lower_alnum)) {
        wrong.push(SUBDOMAIN_RULE.to_owned());
    }
    wrong
}

/// Checks a name that only has to fit into a URL path segment (RBAC objects).
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ['/', '%'].into_iter().filter(|c| text.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Checks a qualified name: `name` or `prefix.dns/name` (label keys, annotation keys, finalizers).
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(dns_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
        _ => {
            wrong.push(format!("a qualified name {KEY_NAME_RULE} with an optional DNS subdomain prefix and '/' (for example 'example.com/MyName')"));
            return wrong;
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_qualified_shape(name.as_bytes()) {
        wrong.push(KEY_NAME_RULE.to_owned());
    }
    wrong
}

/// Checks a label's key.
pub fn label_key(text: &str) -> Vec<String> {
    qualified_name(text)
}

/// Checks a label's value: empty, or at most 63 of letters, digits, `-`, `_`, `.`.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !text.is_empty() && !is_qualified_shape(text.as_bytes()) {
        wrong.push(VALUE_RULE.to_owned());
    }
    wrong
}

/// Checks a key of a ConfigMap or Secret: file-name characters, at most 253, not `.` nor beginning with `..`.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    let shape = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(shape) {
        wrong.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (for example 'key.name')"
                .to_owned(),
        );
    }
    if text == "." || text == ".." {
        wrong.push(format!("must not be '{text}'"));
    } else if text.starts_with("..") {
        wrong.push("must not start with '..'".to_owned());
    }
    wrong
}

/// What a `generateName` is checked as: the stem with a harmless character in place of a trailing dash, so
/// that `web-` passes every rule that `web-x` passes.
pub fn generate_name_probe(stem: &str) -> String {
    match stem.strip_suffix('-') {
        Some(rest) => format!("{rest}a"),
        None => stem.to_owned(),
    }
}

/// A name from a stem and `random`, of which the first [`GENERATED_SUFFIX`] items choose the suffix.
pub fn generated(stem: &str, random: [u8; GENERATED_SUFFIX]) -> String {
    let mut end = stem.len().min(GENERATED_STEM_MAX);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = stem[..end].to_owned();
    name.extend(
        random.iter().map(|r| char::from(GENERATED_ALPHABET[usize::from(*r) % GENERATED_ALPHABET.len()])),
    );
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains() {
        for good in ["a", "a-b", "0", "a0", &"x".repeat(63)] {
            assert!(dns_label(good).is_empty(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"x".repeat(64)] {
            assert!(!dns_label(bad).is_empty(), "{bad}");
        }
        for good in ["a.b", "a-b.c", "0.1"] {
            assert!(dns_subdomain(good).is_empty(), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.", "a_b", &"x".repeat(254)] {
            assert!(!dns_subdomain(bad).is_empty(), "{bad}");
        }
        assert!(dns_1035_label("0a").len() == 1 && dns_1035_label("a0").is_empty());
    }

    #[test]
    fn label_keys_and_values() {
        for good in ["a", "A_b.c", "example.com/a", "kubernetes.io/metadata.name"] {
            assert!(label_key(good).is_empty(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "Example.com/a", "-a", "a b"] {
            assert!(!label_key(bad).is_empty(), "{bad}");
        }
        for good in ["", "a", "A.b_c-d"] {
            assert!(label_value(good).is_empty(), "{good}");
        }
        for bad in ["-", "a b", "a/b", &"x".repeat(64)] {
            assert!(!label_value(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn config_keys() {
        for good in ["a", "a.b", "_", "..data-not"] {
            assert_eq!(config_key(good).is_empty(), !good.starts_with(".."), "{good}");
        }
        for bad in ["", "a/b", ".", "..", "a b"] {
            assert!(!config_key(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn generated_names_keep_to_a_label() {
        let name = generated(&"x".repeat(80), [0, 1, 26, 27, 255]);
        assert_eq!(name.len(), LABEL_MAX);
        assert_eq!(generated("vm-", [0; 5]), "vm-bbbbb");
        assert!(dns_label(&generate_name_probe("web-")).is_empty());
    }
}
