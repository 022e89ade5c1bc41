//! What a kubelet is told when it starts.

use std::net::IpAddr;
use std::path::PathBuf;

use network::pod::NodeNetworkConfig;
use network::resolver::ClusterDns;

use crate::builtin::BuiltinImage;
use crate::collection::Policy;

/// One node's agent.
#[derive(Clone, Debug)]
pub struct KubeletConfig {
    /// Name of the node.
    pub node: String,
    /// Directory of this kubelet's Pods, state and volumes; made when it is missing.
    pub root: PathBuf,
    /// Directory of this node's local volumes, a directory each; they outlive the kubelet's own files.
    pub local_volumes: PathBuf,
    /// Runs the roles `pod-init` and `netns-exec`; usually this program.
    pub helper: host::Helper,
    /// Images that programs of the host stand for.
    pub builtin: Vec<BuiltinImage>,
    /// Network of the node's Pods.
    pub network: NodeNetworkConfig,
    /// The cluster's name server, for Pods whose `dnsPolicy` asks for the cluster's names; `None` where there is none.
    pub cluster_dns: Option<ClusterDns>,
    /// File that says how the host resolves names; `None` for the host's own.
    pub resolv_conf: Option<PathBuf>,
    /// Name of the control group that the Pods' groups are made in; no other kubelet of this machine has it.
    pub cgroup: String,
    /// When room is made by removing images that no Pod uses; `None` when somebody else sees to that.
    pub image_space: Option<Policy>,
    /// Whether `/dev/kvm` runs ordinary guests, so that Pods may ask for it.
    pub kvm: bool,
    /// Address that the node is reached at.
    pub address: IpAddr,
    /// Release, as reported in the Node's `status.nodeInfo.kubeletVersion`.
    pub release: String,
    /// Processors to report instead of the machine's.
    pub cpus: Option<u64>,
    /// Bytes of memory to report instead of the machine's.
    pub memory_bytes: Option<u64>,
}

impl KubeletConfig {
    /// Returns the directory that holds one directory for each Pod, named by its UID.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }
}
