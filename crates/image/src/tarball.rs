//! A reader of tar streams that bounds everything an archive can make it keep in memory.
//!
//! It knows the ustar, GNU and pax dialects as far as image builders write them: long names, sizes beyond 8 GiB,
//! hard and symbolic links. It refuses sparse entries: image builders do not write them, and a run of zeros
//! becomes a hole anyway.

use std::io::{self, Read};

const BLOCK: usize = 512;

/// Longest path or pax record set that an entry may have.
const NAME_LIMIT: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    /// Devices and pipes.
    Special,
}

/// One entry; its content is read from the [`Tarball`] before the next entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) link: String,
    pub(crate) mode: u32,
    pub(crate) size: u64,
}

/// A tar stream; as [`Read`] it gives the content of the current entry.
#[derive(Debug)]
pub(crate) struct Tarball<R> {
    inner: R,
    left: u64,
    padding: u64,
}

/// What the extension headers before an entry say of it.
#[derive(Debug, Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl<R: Read> Tarball<R> {
    /// Reads the stream `inner`.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0 }
    }

    /// Gives back the stream, at the place that was reached.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Moves to the next entry; `None` at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut extension = Extension::default();
        loop {
            let rest = self.left.saturating_add(self.padding);
            io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())
                .and_then(|skipped| if skipped == rest { Ok(()) } else { Err(cut()) })?;
            (self.left, self.padding) = (0, 0);
            let mut block = [0; BLOCK];
            if !read_block(&mut self.inner, &mut block)? || block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            let size = number(&block[124..136])?;
            self.advance(size);
            match block[156] {
                b'L' => extension.path = Some(self.long_name()?),
                b'K' => extension.link = Some(self.long_name()?),
                b'x' => self.pax(&mut extension)?,
                // A global header carries nothing that unpacking needs.
                b'g' => {}
                flag => return self.entry(&block, flag, size, extension).map(Some),
            }
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], flag: u8, size: u64, extension: Extension) -> io::Result<Entry> {
        let kind = match flag {
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Directory,
            b'S' => return Err(bad("a sparse entry: pack the archive without tar's --sparse")),
            other => return Err(bad(&format!("an entry of the unknown type {other:#x}"))),
        };
        let path = extension.path.map_or_else(|| name(block), Ok)?;
        // Old archives mark directories by a slash alone.
        let kind = if kind == Kind::File && path.ends_with('/') { Kind::Directory } else { kind };
        let size = extension.size.unwrap_or(size);
        // Only files have content; some writers leave the size of a link's target in the header.
        let size = if kind == Kind::File { size } else { 0 };
        self.advance(size);
        let link = extension.link.map_or_else(|| text(&block[157..257]), Ok)?;
        Ok(Entry { path, kind, link, mode: number(&block[100..108])? as u32, size })
    }

    fn advance(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        if self.left > NAME_LIMIT {
            return Err(bad("a name or extended header of more than a mebibyte"));
        }
        let mut content = vec![0; self.left as usize];
        self.read_exact(&mut content)?;
        Ok(content)
    }

    fn long_name(&mut self) -> io::Result<String> {
        text(&self.extension()?)
    }

    /// Reads records of the form `LENGTH KEY=VALUE\n`.
    fn pax(&mut self, extension: &mut Extension) -> io::Result<()> {
        let content = self.extension()?;
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let space =
                rest.iter().position(|byte| *byte == b' ').ok_or_else(|| bad("a broken extended header"))?;
            let length: usize = std::str::from_utf8(&rest[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .filter(|length| *length > space + 1 && *length <= rest.len())
                .ok_or_else(|| bad("a broken extended header"))?;
            let record = &rest[space + 1..length - 1];
            rest = &rest[length..];
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let value = &record[equals + 1..];
            match &record[..equals] {
                b"path" => extension.path = Some(text(value)?),
                b"linkpath" => extension.link = Some(text(value)?),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                    extension.size = Some(size.ok_or_else(|| bad("a size that is no number"))?);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(bad("a sparse entry: pack the archive without tar's --sparse"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Tarball<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(cut());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive has {reason}"))
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short")
}

/// Fills `block`; `false` at the end of the stream.
fn read_block(reader: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < BLOCK {
        match reader.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(cut()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn check_sum(block: &[u8; BLOCK]) -> io::Result<()> {
    let bad =
        || bad("no tar header where one belongs (its checksum is wrong): it is no tar archive, or damaged");
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
        .sum();
    if number(&block[148..156]).ok() == Some(sum) { Ok(()) } else { Err(bad()) }
}

/// Reads an octal number, or a binary one where the first bit says so.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        // What the first byte has beyond that bit is a sign, or more than any file has.
        let digits = if field[0] == 0x80 { Some(&field[1..]) } else { None };
        let add = |number: u64, byte: &u8| Some(number.checked_mul(256)? | u64::from(*byte));
        let number = digits.and_then(|digits| digits.iter().try_fold(0, add));
        return number.ok_or_else(|| bad("a number that is too large"));
    }
    let digits =
        field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !matches!(**byte, b' ' | 0));
    let mut number = 0u64;
    for byte in digits {
        let digit = u64::from(*byte).wrapping_sub(u64::from(b'0'));
        let shifted = number.checked_mul(8).filter(|_| digit < 8);
        number = shifted.ok_or_else(|| bad("a number that cannot be read"))? + digit;
    }
    Ok(number)
}

fn name(block: &[u8; BLOCK]) -> io::Result<String> {
    let name = text(&block[..100])?;
    // Only POSIX' own dialect has a prefix; GNU's magic is followed by a space.
    let prefix = if &block[257..263] == b"ustar\0" { text(&block[345..500])? } else { String::new() };
    Ok(if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
}

fn text(field: &[u8]) -> io::Result<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8(field[..end].to_vec()).map_err(|_| bad("a name that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o640);
        header.set_cksum();
        let long = format!("{}/file", "d".repeat(300));
        builder.append_data(&mut header.clone(), &long, &b"abc"[..]).unwrap();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        builder.append_link(&mut header, "link", "t".repeat(200)).unwrap();
        builder.append_pax_extensions([("path", b"renamed".as_slice()), ("size", b"2")]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(2);
        header.set_cksum();
        builder.append(&header, &b"xy"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_is_no_archive_is_told_so() {
        let noise: Vec<u8> =
            (0..2048_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let octal_but_not_tar = vec![b'7'; 2048];
        for bytes in [noise, vec![0xff; 2048], octal_but_not_tar] {
            let told = Tarball::new(bytes.as_slice()).next_entry().unwrap_err().to_string();
            assert!(told.contains("it is no tar archive, or damaged"), "{told}");
        }
    }

    #[test]
    fn the_dialects_are_read() {
        let bytes = archive();
        let mut tarball = Tarball::new(bytes.as_slice());
        let first = tarball.next_entry().unwrap().unwrap();
        assert_eq!((first.path.len(), first.kind, first.mode, first.size), (305, Kind::File, 0o640, 3));
        let link = tarball.next_entry().unwrap().unwrap();
        assert_eq!((link.kind, link.link.len()), (Kind::Symlink, 200));
        let renamed = tarball.next_entry().unwrap().unwrap();
        assert_eq!(renamed.path, "renamed");
        let mut content = String::new();
        tarball.read_to_string(&mut content).unwrap();
        assert_eq!(content, "xy");
        assert!(tarball.next_entry().unwrap().is_none());
    }

    #[test]
    fn binary_numbers_are_read_in_fields_of_either_length() {
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2]).unwrap(), 0x102);
        assert_eq!(number(&[0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2]).unwrap(), 1 << 56 | 2);
        for field in [&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0xff; 8], &[0xff; 12], &[0x81; 8]] {
            assert!(number(field).unwrap_err().to_string().contains("too large"), "{field:?}");
        }
    }

    #[test]
    fn a_size_beyond_all_bounds_is_an_error() {
        let mut header = tar::Header::new_gnu();
        header.set_path("huge").unwrap();
        header.set_size(u64::MAX);
        header.set_cksum();
        let mut tarball = Tarball::new(header.as_bytes().as_slice());
        assert_eq!(tarball.next_entry().unwrap().unwrap().size, u64::MAX);
        assert!(tarball.next_entry().is_err());
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let bytes = archive();
        let mut tarball = Tarball::new(&bytes[..700]);
        let result = std::iter::from_fn(|| tarball.next_entry().transpose()).collect::<Result<Vec<_>, _>>();
        assert!(result.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0usize..4096, value: u8, end in 0usize..6000) {
            let mut bytes = archive();
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(end);
            let mut tarball = Tarball::new(bytes.as_slice());
            while let Ok(Some(_)) = tarball.next_entry() {}
        }
    }
}
