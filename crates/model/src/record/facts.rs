//! What the node's agent knows when a machine is made: the node, and what it prepared for the instance.

use std::collections::{BTreeMap, BTreeSet};

use wire::machine::{Accelerator, Architecture, Dhcp, DiskFormat};

use super::Places;

/// Facts that a record depends on besides the instance's specification.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Instruction set of the node.
    pub architecture: Architecture,
    /// What executes guests here.
    pub accelerator: Accelerator,
    /// Concrete machine type behind each alias, for example `q35` to `pc-q35-10.0`.
    pub machine_aliases: BTreeMap<String, String>,
    /// What the firmware shows where the instance says nothing.
    pub smbios: SmbiosFacts,
    /// Processor features that guests can have here; `None` where only their start shows it.
    pub cpu_features: Option<BTreeSet<String>>,
    /// Seconds between memory statistics of the balloon; 0 turns them off.
    pub balloon_period_seconds: u32,
    /// What is known of each volume's content, by volume name.
    pub volumes: BTreeMap<String, VolumeFacts>,
    /// What was prepared for each interface, by interface name.
    pub nics: BTreeMap<String, NicFacts>,
    /// Whether the serial console of machines that do not say is written down.
    pub log_serial_console: bool,
    /// Where the devices of the machine's last instance stood, if it had one.
    pub places: Option<Places>,
}

/// Identity that firmware shows, from the installation's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbiosFacts {
    /// System manufacturer.
    pub manufacturer: String,
    /// System product.
    pub product: String,
    /// System version.
    pub version: String,
    /// System SKU.
    pub sku: String,
    /// System family.
    pub family: String,
}

impl Default for SmbiosFacts {
    fn default() -> Self {
        Self {
            manufacturer: "KubeVirt".to_owned(),
            product: "None".to_owned(),
            version: String::new(),
            sku: String::new(),
            family: "KubeVirt".to_owned(),
        }
    }
}

/// What is known of a volume's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Formats of its images from the one that is written (first) down to the base. For a container disk that
    /// is an overlay and the disk in the image, for everything else one image.
    pub chain: Vec<DiskFormat>,
    /// Whether the host's page cache can be bypassed.
    pub direct_io: bool,
    /// Size in bytes of the blocks that the file system below works with; `None` where it is of no consequence.
    pub block_size: Option<u32>,
}

/// What was prepared for an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicFacts {
    /// Lease to hand out; none where somebody else does.
    pub lease: Option<Dhcp>,
    /// MTU to offer; 0 leaves it alone.
    pub mtu: u16,
}
