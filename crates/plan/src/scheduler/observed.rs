//! What the scheduler looks at.

use std::collections::BTreeMap;
use std::fmt;

use machinery::selector::LabelSelector;

/// Amounts by resource name, in thousandths of the unit.
pub type Requests = BTreeMap<String, i64>;

/// A Pod without a node, and all nodes.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Pod.
    pub pod: Pod,
    /// The nodes in the order of their names.
    pub nodes: Vec<Node>,
}

/// A Pod that needs a node.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it asks for.
    pub requests: Requests,
    /// Labels that its node must carry.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: one of these must hold; empty means no requirement.
    pub required: Vec<NodeTerm>,
    /// Preferred node affinity with weights.
    pub preferred: Vec<(i32, NodeTerm)>,
    /// What it endures.
    pub tolerations: Vec<Toleration>,
    /// Pods that it must share a topology domain with.
    pub near: Vec<AntiAffinity>,
    /// Pods that it must not share a topology domain with.
    pub apart: Vec<AntiAffinity>,
    /// What it needs of its claims.
    pub claims: Vec<PodClaim>,
    /// Message of its `PodScheduled=False` condition, if there is one.
    pub known_message: Option<String>,
}

/// A claim of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodClaim {
    /// It cannot be used yet; the reason is told.
    Unusable {
        /// Why, in Kubernetes' words.
        why: String,
    },
    /// Its volume is there.
    Bound {
        /// Name of the claim.
        name: String,
        /// Where the volume can be used: one of these must hold; empty: everywhere.
        nodes: Vec<NodeTerm>,
    },
    /// Its volume is made where the Pod goes.
    Delayed {
        /// Name of the claim.
        name: String,
        /// Node that was chosen already.
        selected: Option<String>,
    },
}

/// A term of node affinity: all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTerm {
    /// On labels.
    pub labels: Vec<Requirement>,
    /// On fields; only `metadata.name` exists.
    pub fields: Vec<Requirement>,
}

/// A requirement on a label or field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Label or field.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: String,
    /// Values.
    pub values: Vec<String>,
}

/// Other Pods that matter for the place of this one.
#[derive(Clone, Debug)]
pub struct AntiAffinity {
    /// Node label whose values are the domains.
    pub topology_key: String,
    /// Which Pods.
    pub selector: LabelSelector,
    /// Namespaces of those Pods.
    pub namespaces: Vec<String>,
}

/// What a Pod endures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toleration {
    /// Taint key; empty with `Exists` means all.
    pub key: String,
    /// `Equal` (or empty) or `Exists`.
    pub operator: String,
    /// Taint value.
    pub value: String,
    /// Effect; empty means all.
    pub effect: String,
}

impl Toleration {
    /// Tells whether a Pod with this toleration endures `taint`.
    pub fn covers(&self, taint: &Taint) -> bool {
        let exists = self.operator == "Exists";
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key == taint.key || (self.key.is_empty() && exists);
        effect && key && (exists || self.value == taint.value)
    }
}

/// What a node asks Pods to endure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
    /// Effect.
    pub effect: String,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Closed by its administrator.
    pub cordoned: bool,
    /// Whether its kubelet says that it is ready.
    pub ready: bool,
    /// Taints.
    pub taints: Vec<Taint>,
    /// What it has for Pods.
    pub allocatable: Requests,
    /// What its Pods ask for, and how many there are under `pods`.
    pub used: Requests,
    /// Namespace and labels of its Pods; filled only when the Pod has affinity to other Pods.
    pub pods: Vec<(String, BTreeMap<String, String>)>,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pod = &self.pod;
        write!(f, "Pod {}/{}", pod.namespace, pod.name)?;
        for (name, amount) in &pod.requests {
            write!(f, "\n  asks for {} {name}", human(*amount))?;
        }
        for (key, value) in &pod.node_selector {
            write!(f, "\n  only on {key}={value}")?;
        }
        for claim in &pod.claims {
            match claim {
                PodClaim::Unusable { why } => write!(f, "\n  {why}")?,
                PodClaim::Bound { name, .. } => write!(f, "\n  claim {name} is bound")?,
                PodClaim::Delayed { name, selected: None } => write!(f, "\n  claim {name} waits for it")?,
                PodClaim::Delayed { name, selected: Some(node) } => {
                    write!(f, "\n  claim {name} waits for a volume on {node}")?;
                }
            }
        }
        for node in &self.nodes {
            write!(f, "\nnode {}", node.name)?;
            if node.cordoned {
                write!(f, ", cordoned")?;
            }
            if !node.ready {
                write!(f, ", not ready")?;
            }
            for (key, value) in &node.labels {
                write!(f, "\n  label {key}={value}")?;
            }
            for taint in &node.taints {
                write!(f, "\n  taint {}={}:{}", taint.key, taint.value, taint.effect)?;
            }
            for (name, amount) in &node.allocatable {
                let used = node.used.get(name).copied().unwrap_or(0);
                write!(f, "\n  {name}: {} of {} used", human(used), human(*amount))?;
            }
        }
        Ok(())
    }
}

fn human(milli: i64) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}
