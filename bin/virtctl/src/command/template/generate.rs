//! Random values after a pattern: `k-[a-z0-9]{8}`.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const SYMBOLS: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Most letters of one kind.
const MOST: usize = 255;

/// Returns a random number below `limit`, without preferring any.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn random(limit: usize) -> Result<usize> {
    let mut source = std::fs::File::open("/dev/urandom").context("opening /dev/urandom")?;
    let fair = 256 - 256 % limit;
    loop {
        let mut byte = [0];
        source.read_exact(&mut byte).context("reading /dev/urandom")?;
        if usize::from(byte[0]) < fair {
            return Ok(usize::from(byte[0]) % limit);
        }
    }
}

/// Replaces each `[RANGES]{LENGTH}` by random letters out of the ranges.
///
/// # Errors
/// When a range or a length is none.
pub(super) fn value(pattern: &str, random: &mut dyn FnMut(usize) -> Result<usize>) -> Result<String> {
    let mut written = String::new();
    let mut rest = pattern;
    while let Some((before, ranges, length, after)) = next(rest) {
        written.push_str(before);
        let Ok(length) = length.parse::<usize>() else { bail!("malformed length syntax: {length:?}") };
        if !(1..=MOST).contains(&length) {
            bail!("range must be within [1-{MOST}] characters: {length}");
        }
        let letters = letters(ranges)?;
        for _ in 0..length {
            written.push(letters[random(letters.len())?]);
        }
        rest = after;
    }
    written.push_str(rest);
    Ok(written)
}

/// Finds the first pattern: what stands before it, its ranges, its length, and what stands behind.
fn next(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find('[') {
        let start = from + found;
        from = start + 1;
        let Some((ranges, behind)) = text[start + 1..].split_once("]{") else { continue };
        let Some((length, after)) = behind.split_once('}') else { continue };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'\\');
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !ranges.is_empty() && ranges.bytes().all(fits) && !length.is_empty() && length.bytes().all(word) {
            return Some((&text[..start], ranges, length, after));
        }
    }
    None
}

fn letters(ranges: &str) -> Result<Vec<char>> {
    let all: Vec<char> = LETTERS.chars().chain(DIGITS.chars()).collect();
    let given: Vec<char> = ranges.chars().collect();
    let mut letters: Vec<char> = Vec::new();
    let mut at = 0;
    while at < given.len() {
        match &given[at..] {
            ['\\', class @ ('w' | 'd' | 'a' | 'A'), ..] => {
                match class {
                    'w' => letters.extend(all.iter().chain(&['_'])),
                    'd' => letters.extend(DIGITS.chars()),
                    'a' => letters.extend(&all),
                    _ => letters.extend(SYMBOLS.chars()),
                }
                at += 2;
            }
            [from, '-', to, ..] => {
                let place = |letter: &char| all.iter().position(|known| known == letter);
                match (place(from), place(to)) {
                    (Some(first), Some(last)) if first <= last => letters.extend(&all[first..=last]),
                    _ => bail!("invalid range specified: {from}-{to}"),
                }
                at += 3;
            }
            [letter, ..] if letter.is_ascii_alphanumeric() => {
                letters.push(*letter);
                at += 1;
            }
            _ => bail!("malformed ranges syntax: {ranges}"),
        }
    }
    letters.sort_unstable();
    letters.dedup();
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_letters_of_their_ranges() {
        let last =
            |pattern: &str| value(pattern, &mut |limit| Ok(limit - 1)).map_err(|error| error.to_string());
        assert_eq!(last("test[0-9]{1}x").unwrap(), "test9x");
        assert_eq!(last("[0-1]{8}").unwrap(), "11111111");
        assert_eq!(last("0x[A-F0-9]{4}-[a]{2}").unwrap(), "0xFFFF-aa");
        assert_eq!(last("\\[[\\A]{1}").unwrap(), "\\[~");
        assert_eq!(last("plain [x {3}").unwrap(), "plain [x {3}");
        assert_eq!(letters("\\d").unwrap().len(), 10);
        assert_eq!(letters("\\w").unwrap().len(), 63);
        for (pattern, says) in [
            ("[a]{0}", "range must be within [1-255] characters: 0"),
            ("[a]{x}", "malformed length syntax: \"x\""),
            ("[z-a]{1}", "invalid range specified: z-a"),
            ("[-]{1}", "malformed ranges syntax: -"),
        ] {
            assert_eq!(last(pattern).unwrap_err(), says);
        }
    }

    #[test]
    fn letters_are_random() {
        let made = value("[a-zA-Z0-9]{32}", &mut random).unwrap();
        assert!(made.len() == 32 && made != value("[a-zA-Z0-9]{32}", &mut random).unwrap());
    }
}
