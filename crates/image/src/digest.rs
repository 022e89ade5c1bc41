//! SHA-256 digests, and readers and writers that compute them on the way.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some content, written `sha256:HEX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Computes the digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Returns the digest as 64 lower-case hexadecimal digits, without the algorithm's name.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let canonical = text.len() == 64 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        (canonical && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Why a digest cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no digest of the form sha256:HEX")]
pub struct ParseError(String);

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.strip_prefix("sha256:").and_then(Self::from_hex).ok_or_else(|| ParseError(text.to_owned()))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest that grows with the content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher {
    state: Sha256,
    length: u64,
}

impl Hasher {
    /// Adds `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Returns how many bytes were added.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest of everything that was added.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

/// A reader that hashes what passes.
#[derive(Debug)]
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// Reads what is left, up to `limit` bytes in all, and returns the digest of everything; `None` when there is more.
    pub(crate) fn finish(mut self, limit: u64) -> io::Result<Option<Digest>> {
        let mut buffer = vec![0; 64 * 1024];
        while self.read(&mut buffer)? > 0 {
            if self.hasher.length() > limit {
                return Ok(None);
            }
        }
        Ok(Some(self.hasher.finish()))
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_sha256_digests_are_read() {
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        for bad in ["", "sha256:", "sha512:00", "sha256:../../etc/passwd", &text.to_uppercase(), &text[..70]]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad} was read");
        }
    }

    #[test]
    fn a_reader_hashes_what_the_caller_left_unread() {
        let mut reader = HashingReader::new(&b"abc"[..]);
        assert_eq!(reader.read(&mut [0]).unwrap(), 1);
        assert_eq!(reader.finish(10).unwrap(), Some(Digest::of(b"abc")));
        assert_eq!(HashingReader::new(&b"abcd"[..]).finish(3).unwrap(), None);
    }
}
