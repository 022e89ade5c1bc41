//! Kinds of flags that kubectl's family has.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// The flags of a group that were given although they exclude each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "if any flags in the group [{}] are set none of the others can be; [{}] were all set",
    group.join(" "),
    given.join(" ")
)]
pub(crate) struct Exclusive {
    group: Vec<&'static str>,
    given: Vec<&'static str>,
}

/// Checks that at most one flag of a group was given.
///
/// # Errors
/// When there are more.
pub(crate) fn at_most_one(group: &[(&'static str, bool)]) -> Result<(), Exclusive> {
    let mut given: Vec<_> = group.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect();
    if given.len() < 2 {
        return Ok(());
    }
    given.sort_unstable();
    Err(Exclusive { group: group.iter().map(|(flag, _)| *flag).collect(), given })
}

/// Pairs of one use of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

/// Reads `KEY=VALUE,...`.
///
/// # Errors
/// When a part has no `=`.
pub(crate) fn pairs(text: &str) -> Result<Pairs, String> {
    if text.is_empty() {
        return Ok(Pairs(Vec::new()));
    }
    let whole = text.matches('=').count() == 1;
    let parts = if whole { vec![text.trim_matches('"')] } else { text.split(',').collect() };
    let pair = |part: &str| match part.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{part} must be formatted as key=value")),
    };
    Ok(Pairs(parts.into_iter().map(pair).collect::<Result<_, _>>()?))
}

/// Makes a name that nobody has, of a prefix and `length` letters and digits that cannot be mistaken for another.
pub(crate) fn unique(prefix: &str, length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // The keys of a new hash map's hasher are random.
    let letters = (0..length).map(|_| {
        let number = RandomState::new().build_hasher().finish();
        char::from(LETTERS[(number % LETTERS.len() as u64) as usize])
    });
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_exclude_each_other_are_named() {
        assert_eq!(at_most_one(&[("memory", true), ("instancetype", false)]), Ok(()));
        assert_eq!(
            at_most_one(&[("memory", true), ("instancetype", true), ("other", false)])
                .unwrap_err()
                .to_string(),
            "if any flags in the group [memory instancetype other] are set none of the others can be; [instancetype memory] were all set"
        );
    }

    #[test]
    fn pairs_have_a_key() {
        let read = |text: &str| pairs(text).map(|Pairs(pairs)| pairs.len());
        assert_eq!(read("a=1,b=2"), Ok(2));
        assert_eq!(read("a=1,2"), Ok(1));
        assert_eq!(read(""), Ok(0));
        assert_eq!(read("a"), Err("a must be formatted as key=value".to_owned()));
    }

    #[test]
    fn names_differ() {
        let (one, other) = (unique("vm-", 5), unique("vm-", 5));
        assert_ne!(one, other);
        assert_eq!(one.len(), 8);
        assert!(one.starts_with("vm-"));
    }
}
