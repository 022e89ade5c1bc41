//! Key ranges of prefixes.

/// Returns the smallest string above every string that begins with `prefix`, or `None` when there is none
/// (the prefix is empty, or ends in the largest characters only).
pub(crate) fn end(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            // The surrogate gap: UTF-8 order is code point order, and these are no code points.
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn the_end_is_just_above_the_prefix() {
        for (prefix, expected) in
            [("", None), ("a", Some("b")), ("/pods/", Some("/pods0")), ("\u{d7ff}", Some("\u{e000}"))]
        {
            assert_eq!(end(prefix).as_deref(), expected, "{prefix:?}");
        }
        assert_eq!(end("\u{10ffff}"), None);
        assert_eq!(end("a\u{10ffff}").as_deref(), Some("b"));
    }
}
