//! Query parameters: decoding and the typed options that requests take.

/// Decoded parameters of a query string, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string.
    pub fn parse(query: &str) -> Self {
        Self(
            query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    /// Returns the first value of `name`, or the empty string.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Returns whether `name` is given at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Returns all values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the boolean value of `name`; the empty value counts as true, as it does for `?watch`.
    pub fn flag(&self, name: &str) -> bool {
        self.has(name) && truthy(self.get(name))
    }
}

/// Returns whether the raw query string sets the boolean parameter `name`.
pub fn flag(query: &str, name: &str) -> bool {
    Query::parse(query).flag(name)
}

fn truthy(value: &str) -> bool {
    !matches!(value, "0" | "false" | "False" | "FALSE" | "f" | "F")
}

/// Decodes percent escapes, and `+` as a space. Broken escapes stay as they are.
pub fn decode(text: &str) -> String {
    decode_with(text, true)
}

/// Decodes percent escapes of a path, where `+` stands for itself.
pub fn decode_path(text: &str) -> String {
    decode_with(text, false)
}

/// Writes a decoded path so that it can stand in a request: no two readers take it for different ones. What is between
/// two slashes is a part; parts that are empty are left out.
///
/// # Errors
/// Names a part that stands for another path (`.` and `..`).
pub fn encode_path(path: &str) -> Result<String, &'static str> {
    let mut written = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." => return Err("."),
            ".." => return Err(".."),
            _ => written.push('/'),
        }
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~$&+,:;=@".contains(&byte) {
                written.push(char::from(byte));
            } else {
                written.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    if path.ends_with('/') {
        written.push('/');
    }
    Ok(written)
}

/// Reads two digits; the standard library would take a sign for one of them.
fn hexadecimal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)? as u8))
}

fn decode_with(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1..at + 3).and_then(hexadecimal)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&watch&limit=5&x=a+b&watch2=false");
        assert_eq!(query.get("labelSelector"), "a=b,c");
        assert_eq!(query.get("x"), "a b");
        assert!(query.flag("watch") && !query.flag("watch2") && !query.flag("absent"));
        assert_eq!(decode_path("a+b%2"), "a+b%2");
        for no_escape in ["%", "%4", "%+4", "%-4", "%g0", "% 4", "%\u{e4}"] {
            assert_eq!(decode_path(no_escape), no_escape);
        }
    }

    #[test]
    fn paths_are_written_in_one_way() {
        for (path, written) in [
            ("/apis/g/v1/things", "/apis/g/v1/things"),
            ("//apis/g//v1/a b/", "/apis/g/v1/a%20b/"),
            ("/apis/g/v1/ä%?#", "/apis/g/v1/%C3%A4%25%3F%23"),
            ("/apis/g/v1/system:node@1", "/apis/g/v1/system:node@1"),
            ("/", "/"),
        ] {
            assert_eq!(encode_path(path).as_deref(), Ok(written), "{path}");
            assert_eq!(decode_path(written), path.replace("//", "/"));
        }
        for path in ["/apis/g/v1/../secrets", "/apis/g/v1/.", ".."] {
            assert!(encode_path(path).is_err(), "{path}");
        }
    }
}
