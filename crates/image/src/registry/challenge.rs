//! What a server that wants a login asks for (RFC 9110, 11.6.1, and the distribution project's token protocol).

/// One `scheme name="value", ...` of a `WWW-Authenticate` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns the value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the challenges of one header; what is malformed ends the list.
pub(super) fn challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !is_token(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let after = after.trim_start();
        if let (Some(value), Some(challenge)) = (after.strip_prefix('='), found.last_mut()) {
            let Some((value, after)) = read_value(value.trim_start()) else { break };
            challenge.parameters.push((word.to_ascii_lowercase(), value));
            rest = after;
        } else {
            found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    found
}

/// Reads a token or a quoted string and returns what follows it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn challenges_are_told_apart() {
        let bearer = challenges(r#"Bearer realm="https://auth.example/token",service="a, \"b\"",scope=x"#);
        assert_eq!(bearer.len(), 1);
        assert_eq!(bearer[0].get("realm"), Some("https://auth.example/token"));
        assert_eq!((bearer[0].get("service"), bearer[0].get("scope")), (Some(r#"a, "b""#), Some("x")));
        let both = challenges(r#"Basic realm="x", Bearer Realm="y""#);
        let schemes: Vec<_> = both.iter().map(|one| (one.scheme.as_str(), one.get("realm"))).collect();
        assert_eq!(schemes, [("basic", Some("x")), ("bearer", Some("y"))]);
        assert_eq!(challenges("Negotiate")[0].scheme, "negotiate");
        assert_eq!(challenges(r#"Bearer realm="open"#)[0].get("realm"), None);
        assert!(challenges("").is_empty() && challenges("=;").is_empty());
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".{0,60}") {
            drop(challenges(&header));
        }
    }
}
