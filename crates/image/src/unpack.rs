//! Layers into one file tree.
//!
//! Owners, set-user-ID bits, extended attributes and device nodes are left out: a tree is only ever read, by whoever
//! the node lets read it. A run of zeros becomes a hole.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::digest::{Digest, HashingReader};
use crate::error::Error;
use crate::limits::Limits;
use crate::staging::check_space;
use crate::tarball::{Entry, Kind, Tarball};
use crate::tree::Tree;

/// Prefix of a name that removes the rest of the name from the layers below.
const WHITEOUT: &str = ".wh.";
/// Name that removes everything that the layers below have in its directory.
const OPAQUE: &str = ".wh..wh..opq";
/// Unit in which zeros become holes.
const CHUNK: usize = 64 * 1024;
/// How much is written between two looks at the free space.
const SPACE_INTERVAL: u64 = 64 << 20;

/// What an image may still use up.
#[derive(Debug)]
pub(crate) struct Budget<'a> {
    limits: &'a Limits,
    entries: u64,
    apparent: u64,
    allocated: u64,
    checked: u64,
}

impl<'a> Budget<'a> {
    /// Starts with everything left.
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, entries: 0, apparent: 0, allocated: 0, checked: 0 }
    }

    fn entry(&mut self, size: u64) -> Result<(), Error> {
        self.entries += 1;
        self.apparent = self.apparent.saturating_add(size);
        let exceeded = |what: &str, limit: u64, unit: &str| {
            Err(Error::Limit {
                what: format!("the unpacked image's {what}"),
                limit: format!("{limit} {unit}"),
            })
        };
        if self.entries > self.limits.entries {
            return exceeded("number of files", self.limits.entries, "entries");
        }
        if self.apparent > self.limits.apparent {
            return exceeded("size", self.limits.apparent, "bytes");
        }
        Ok(())
    }

    fn written(&mut self, count: usize, place: &Path) -> Result<(), Error> {
        self.allocated += count as u64;
        if self.allocated > self.limits.allocated {
            let limit = format!("{} bytes", self.limits.allocated);
            return Err(Error::Limit { what: "the unpacked image's size on disk".to_owned(), limit });
        }
        if self.allocated - self.checked > SPACE_INTERVAL {
            self.checked = self.allocated;
            check_space(place, self.limits)?;
        }
        Ok(())
    }
}

/// Opens a stream that may be compressed by gzip or zstd, told by its first bytes.
pub(crate) fn decompress<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut buffered = BufReader::with_capacity(128 * 1024, stream);
    let mut magic = Vec::with_capacity(4);
    (&mut buffered).take(4).read_to_end(&mut magic)?;
    let whole = io::Cursor::new(magic.clone()).chain(buffered);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::stream::read::Decoder::new(whole)?;
            // 128 MiB of window: what zstd --long=27 writes; more would let an image choose our memory.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
        _ => Box::new(whole),
    })
}

/// Adds the layer `digest`, whose blob is `blob`, to the tree at `root`, and verifies what came out of it when
/// `unpacked` is known.
pub(crate) fn layer(
    root: &Path,
    digest: Digest,
    blob: File,
    unpacked: Option<Digest>,
    budget: &mut Budget<'_>,
) -> Result<(), Error> {
    let tree = Tree::open(root).map_err(Error::system("open", root))?;
    let stream = decompress(blob).map_err(|error| entry_error(digest, "", &error))?;
    let mut tarball = Tarball::new(HashingReader::new(stream));
    let mut layer = Layer { root, tree: &tree, digest, added: HashSet::new(), budget };
    while let Some(entry) = tarball.next_entry().map_err(|error| entry_error(digest, "", &error))? {
        layer.add(&entry, &mut tarball)?;
    }
    // What follows the end mark is padding; it belongs to the digest.
    let limit = layer.budget.limits.apparent;
    let found = tarball.into_inner().finish(limit).map_err(|error| entry_error(digest, "", &error))?;
    match (unpacked, found) {
        (Some(expected), Some(found)) if expected != found => {
            Err(Error::Mismatch { what: format!("the content of layer {digest}"), expected, found })
        }
        (_, None) => Err(Error::Limit { what: format!("layer {digest}"), limit: format!("{limit} bytes") }),
        _ => Ok(()),
    }
}

struct Layer<'a, 'b> {
    root: &'a Path,
    tree: &'a Tree,
    digest: Digest,
    /// Paths that this layer itself brought: its whiteouts do not reach them.
    added: HashSet<String>,
    budget: &'a mut Budget<'b>,
}

impl Layer<'_, '_> {
    fn add(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), Error> {
        self.budget.entry(entry.size)?;
        let bad = |error: io::Error| entry_error(self.digest, &entry.path, &error);
        let components = components(&entry.path).map_err(bad)?;
        let Some((name, directory)) = components.split_last() else {
            return Ok(());
        };
        if *name == OPAQUE {
            return self.clear_below(directory).map_err(bad);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if matches!(hidden, "" | "." | "..") {
                return Err(bad(io::Error::other("a whiteout of nothing")));
            }
            let mut path = directory.to_vec();
            path.push(hidden);
            if self.added.contains(&path.join("/")) {
                return Ok(());
            }
            return self.tree.remove(&path).map_err(bad);
        }
        for end in 1..=components.len() {
            self.added.insert(components[..end].join("/"));
        }
        match entry.kind {
            Kind::Directory => self.tree.make_directory(&components).map_err(bad),
            Kind::Symlink => self.tree.make_symlink(&components, &entry.link).map_err(bad),
            Kind::Hardlink => {
                let target = self::components(&entry.link).map_err(bad)?;
                self.tree.make_hardlink(&components, &target).map_err(bad)
            }
            Kind::File => {
                let mode = (entry.mode & 0o555) | 0o444;
                let file = self.tree.make_file(&components, mode).map_err(bad)?;
                self.fill(&file, entry, content)
            }
            Kind::Special => {
                tracing::debug!(layer = %self.digest, path = entry.path, "left out a device node or pipe");
                Ok(())
            }
        }
    }

    /// Removes what the layers below have in a directory.
    fn clear_below(&self, directory: &[&str]) -> io::Result<()> {
        for name in self.tree.names(directory)? {
            let mut path = directory.to_vec();
            path.push(&name);
            if !self.added.contains(&path.join("/")) {
                self.tree.remove(&path)?;
            }
        }
        Ok(())
    }

    fn fill(&mut self, file: &File, entry: &Entry, content: &mut impl Read) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let count = fill_buffer(content, &mut buffer)
                .map_err(|error| entry_error(self.digest, &entry.path, &error))?;
            if count == 0 {
                break;
            }
            if buffer[..count].iter().any(|byte| *byte != 0) {
                self.budget.written(count, self.root)?;
                file.write_all_at(&buffer[..count], at).map_err(|error| self.full(entry, error))?;
            }
            at += count as u64;
        }
        file.set_len(at).map_err(|error| self.full(entry, error))
    }

    fn full(&self, entry: &Entry, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::StorageFull {
            return Error::Space { path: self.root.to_owned(), free: 0, reserve: self.budget.limits.reserve };
        }
        entry_error(self.digest, &entry.path, &error)
    }
}

fn entry_error(layer: Digest, entry: &str, error: &io::Error) -> Error {
    if entry.is_empty() {
        return Error::Layer { layer, reason: error.to_string() };
    }
    Error::Entry { layer, entry: entry.to_owned(), reason: error.to_string() }
}

fn fill_buffer(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let count = reader.read(&mut buffer[filled..])?;
        if count == 0 {
            break;
        }
        filled += count;
    }
    Ok(filled)
}

/// Splits the path of an entry; refuses one that leads upwards. A leading slash means the tree's root.
fn components(path: &str) -> io::Result<Vec<&str>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(io::Error::other("the path leads out of the image"));
    }
    if path.contains('\0') || path.len() > 4096 {
        return Err(io::Error::other("the path is not one of Linux"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
