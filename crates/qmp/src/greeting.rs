//! What QEMU says first.

use serde::Deserialize;

/// Version of a QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Release number.
    pub qemu: Release,
    /// What the distribution added, for example `Debian 1:10.0.2`.
    #[serde(default)]
    pub package: String,
}

/// Release number of a QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Release {
    /// First part.
    pub major: u32,
    /// Second part.
    pub minor: u32,
    /// Third part.
    pub micro: u32,
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The first line of every connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Greeting {
    #[serde(rename = "QMP")]
    pub(crate) qmp: Body,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Body {
    pub(crate) version: Version,
}
