//! A greeting that nobody can have prepared.

use effects::Entropy;

const MANNER: &[&str] = &["bright", "calm", "eager", "gentle", "merry", "nimble", "quiet", "sturdy"];
const CREATURE: &[&str] = &["badger", "crane", "heron", "lynx", "otter", "raven", "stoat", "wren"];

/// Makes up a greeting from `entropy`.
pub(super) fn make_up(entropy: &impl Entropy) -> String {
    let mut bytes = [0u8; 2];
    entropy.fill(&mut bytes);
    let pick = |words: &[&'static str], byte: u8| words[usize::from(byte) % words.len()];
    format!("Hello from a {} {} ({})", pick(MANNER, bytes[0]), pick(CREATURE, bytes[1]), entropy.suffix(8))
}
