//! The label by which an instance's Pod is found.

/// Longest value of a label.
const LONGEST: usize = 63;
/// Digits of the digest that stands for the rest of a longer name.
const DIGITS: usize = 8;

/// Returns the value of the label `vmi.kubevirt.io/id` of the instance `name`.
///
/// That is its name. Of one that is longer than a label it is the beginning, a dash and the first digits of the name's SHA-1, so
/// that instances whose names begin alike stay apart; Services select by it.
pub fn label(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let digest = sha1_smol::Sha1::from(name).digest().to_string();
    // Names of objects are ASCII, so a character is a byte.
    let beginning: String = name.chars().take(LONGEST - DIGITS - 1).collect();
    format!("{beginning}-{}", &digest[..DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_told_apart() {
        let name = |count: usize| "a".repeat(count);
        assert_eq!(label("hello"), "hello");
        assert_eq!(label(&name(63)), name(63));
        // printf a%.0s {1..64} | sha1sum
        assert_eq!(label(&name(64)), format!("{}-0098ba82", name(54)));
        assert_eq!(label(&name(64)).len(), LONGEST);
        assert_ne!(label(&name(64)), label(&name(65)));
    }
}
