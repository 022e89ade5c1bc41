//! How large an image may be. They guard a node against images made to fill it.

/// Bounds of what a store accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest, index or configuration.
    pub document: u64,
    /// Bytes of one blob.
    pub blob: u64,
    /// Layers of an image.
    pub layers: usize,
    /// Entries of all layers of an image.
    pub entries: u64,
    /// Bytes that an image unpacks to, runs of zeros included.
    pub apparent: u64,
    /// Bytes that an image unpacks to on disk: runs of zeros become holes and do not count.
    pub allocated: u64,
    /// Bytes of the file system that stay free.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            document: 4 << 20,
            blob: 64 * GIB,
            layers: 128,
            entries: 1_000_000,
            apparent: 2048 * GIB,
            allocated: 256 * GIB,
            reserve: GIB / 4,
        }
    }
}
