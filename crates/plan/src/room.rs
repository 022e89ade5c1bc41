//! Room on a node's file systems: how much machines need, and the sentence for too little.

use std::fmt;

/// Bytes that must be free before a Pod or a machine starts, or a machine goes on after a disk was full: with less it
/// would stop again at once.
pub const NEEDED: u64 = 16 << 20;

/// Room on one file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Where the file system is mounted.
    pub mount: String,
    /// Bytes left for ordinary users.
    pub free: u64,
    /// Bytes that there must be.
    pub needed: u64,
}

impl Room {
    /// Tells whether there is too little.
    pub fn is_short(&self) -> bool {
        self.free < self.needed
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, needed) = (size(self.free), size(self.needed));
        write!(
            f,
            "the file system at {} has {left} left and {needed} are needed; free some there: delete files or machines, or \
             images that nobody uses by `ironclad image`",
            self.mount
        )
    }
}

/// Bytes for people: whole MiB, so that a figure that moves a little is no news.
fn size(bytes: u64) -> String {
    if bytes == 0 {
        return "nothing".to_owned();
    }
    if bytes < 1 << 20 { "less than 1 MiB".to_owned() } else { format!("{} MiB", bytes >> 20) }
}
