//! The files that a disk is made of, from the one that is written down to the base.

use std::fs::File;

use plan::Notice;
use wire::machine::DiskFormat;

/// Blocks of a disk, in bytes.
const SMALLEST: u64 = 512;
const LARGEST: u64 = 4096;

/// One file.
pub(super) struct Layer {
    pub(super) file: File,
    pub(super) format: DiskFormat,
}

impl Layer {
    /// Returns the size of the blocks that the file system below works with, as far as a disk can have it.
    pub(super) fn block_size(&self) -> Option<u32> {
        let size = rustix::fs::fstatvfs(&self.file).ok()?.f_bsize;
        // Guests do not get along with blocks that are larger than their pages.
        u32::try_from(size.clamp(SMALLEST, LARGEST)).ok().filter(|size| size.is_power_of_two())
    }
}

/// A disk's files, with what is known of them.
pub(super) struct Chain {
    pub(super) layers: Vec<Layer>,
    /// Size of the disk that the guest sees, in bytes.
    pub(super) size: u64,
    /// Whether the host's page cache can be bypassed.
    pub(super) direct_io: bool,
    /// What people should know, if anything: one word and one sentence.
    pub(super) notice: Option<Notice>,
}

impl Chain {
    /// A disk of one raw file, with nothing special about it.
    pub(super) fn raw(file: File, size: u64) -> Self {
        Self::of(vec![Layer { file, format: DiskFormat::Raw }], size)
    }

    /// A disk of several files, with nothing special about it.
    pub(super) fn of(layers: Vec<Layer>, size: u64) -> Self {
        Self { layers, size, direct_io: false, notice: None }
    }
}
