//! The files that a disk is made of, from the one that is written down to the base.

use std::fs::File;

use plan::Notice;
use wire::machine::DiskFormat;

/// One file.
pub(super) struct Layer {
    pub(super) file: File,
    pub(super) format: DiskFormat,
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
