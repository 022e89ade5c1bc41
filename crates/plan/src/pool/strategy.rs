//! How a pool's machines go, change and heal, as its specification says.

use std::cmp::Reverse;
use std::time::Duration;

use api::pool::v1beta1::{
    VirtualMachinePoolAutohealingStrategy, VirtualMachinePoolScaleInStrategy,
    VirtualMachinePoolSelectionPolicy, VirtualMachinePoolUpdateStrategy,
};
use k8s_openapi::api::core::v1::NodeSelectorRequirement;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::selector::{LabelSelector, Operator, Requirement};

use super::Member;
use crate::name;

/// How machines go that are too many.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleIn {
    /// At once.
    Proactive {
        /// Which of them.
        policy: Policy,
        /// Whether their disks stay.
        keeps_disks: bool,
    },
    /// When somebody deletes them.
    Opportunistic {
        /// Whether their disks stay.
        keeps_disks: bool,
    },
    /// When somebody deletes them; the pool has no say in it.
    Unmanaged,
}

/// How a changed template reaches machines.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// They are changed and restarted.
    Proactive(Policy),
    /// They are changed, and restarted by somebody else.
    Opportunistic,
    /// Not at all.
    Unmanaged,
}

/// When machines that do not start are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healing {
    /// After how many failures in a row.
    pub threshold: u32,
    /// After how long in a state that does not end by itself.
    pub patience: Duration,
}

/// How many machines may be away at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This many.
    Count(usize),
    /// This many of a hundred.
    Percent(usize),
}

/// Which machines come first, and which at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Which come first; without it those that are not ready, then any.
    pub order: Option<Order>,
    /// Labels that a machine must have.
    pub labels: Option<LabelSelector>,
    /// What it must ask of nodes.
    pub nodes: Option<LabelSelector>,
}

/// Which machines come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with low numbers.
    Ascending,
    /// Those with high numbers.
    Descending,
    /// The youngest.
    Newest,
    /// The oldest.
    Oldest,
    /// Any.
    Random,
}

impl ScaleIn {
    /// Reads `spec.scaleInStrategy`.
    pub fn of(given: Option<&VirtualMachinePoolScaleInStrategy>) -> Self {
        let keeps = |word: &Option<String>| matches!(word.as_deref(), Some("Offline" | "Online"));
        match given {
            Some(given) if given.unmanaged.is_some() => Self::Unmanaged,
            Some(VirtualMachinePoolScaleInStrategy { opportunistic: Some(own), .. }) => {
                Self::Opportunistic { keeps_disks: keeps(&own.state_preservation) }
            }
            Some(VirtualMachinePoolScaleInStrategy { proactive: Some(own), .. }) => Self::Proactive {
                policy: Policy::of(own.selection_policy.as_ref()),
                keeps_disks: keeps(&own.state_preservation),
            },
            _ => Self::Proactive { policy: Policy::default(), keeps_disks: false },
        }
    }

    /// Tells whether a machine with these labels may go by the pool's choice.
    pub fn lets_go<'a>(
        &self,
        labels: impl Fn(&str) -> Option<&'a str>,
        nodes: impl Fn(&str) -> Option<&'a str>,
    ) -> bool {
        matches!(self, Self::Proactive { policy, .. } if policy.fits(labels, nodes))
    }

    /// Tells whether the disks stay of machines that the pool chose.
    pub(super) fn keeps_disks(&self) -> bool {
        matches!(self, Self::Proactive { keeps_disks: true, .. })
    }
}

impl Update {
    /// Reads `spec.updateStrategy`.
    pub fn of(given: Option<&VirtualMachinePoolUpdateStrategy>) -> Self {
        match given {
            Some(given) if given.unmanaged.is_some() => Self::Unmanaged,
            Some(given) if given.opportunistic.is_some() => Self::Opportunistic,
            given => {
                let own = given.and_then(|given| given.proactive.as_ref());
                Self::Proactive(Policy::of(own.and_then(|own| own.selection_policy.as_ref())))
            }
        }
    }

    /// Tells whether a machine with these labels may be changed.
    pub fn lets_change<'a>(
        &self,
        labels: impl Fn(&str) -> Option<&'a str>,
        nodes: impl Fn(&str) -> Option<&'a str>,
    ) -> bool {
        match self {
            Self::Proactive(policy) => policy.fits(labels, nodes),
            Self::Opportunistic => true,
            Self::Unmanaged => false,
        }
    }
}

impl Healing {
    /// Reads `spec.autohealing`.
    pub fn of(given: &VirtualMachinePoolAutohealingStrategy) -> Self {
        let patience = given.min_failing_to_start_duration.as_deref().and_then(machinery::duration::parse);
        Self {
            threshold: given.start_up_failure_threshold.unwrap_or(3).max(1),
            patience: patience.map_or(Duration::from_secs(300), |span| span.try_into().unwrap_or_default()),
        }
    }
}

impl Limit {
    /// Reads `spec.maxUnavailable`.
    pub fn of(given: Option<&IntOrString>) -> Self {
        match given {
            Some(IntOrString::Int(count)) => Self::Count(usize::try_from(*count).unwrap_or(0)),
            Some(IntOrString::String(text)) => {
                Self::Percent(text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or(100))
            }
            None => Self::Percent(100),
        }
    }

    /// Returns how many of `wanted` machines that are: one at least, or nothing would ever change.
    pub fn count(self, wanted: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => wanted.saturating_mul(percent) / 100,
        }
        .max(1)
    }
}

impl Policy {
    /// Reads a `selectionPolicy`. A selector that cannot be read selects nothing.
    fn of(given: Option<&VirtualMachinePoolSelectionPolicy>) -> Self {
        let order = match given.and_then(|given| given.sort_policy.as_deref()) {
            Some("AscendingOrder") => Some(Order::Ascending),
            Some("DescendingOrder") => Some(Order::Descending),
            Some("Newest") => Some(Order::Newest),
            Some("Oldest") => Some(Order::Oldest),
            Some(_) => Some(Order::Random),
            None => None,
        };
        let selectors = given.and_then(|given| given.selectors.as_ref());
        let labels = selectors.and_then(|own| own.label_selector.as_ref()).map(|own| {
            let written = serde_json::to_value(own).unwrap_or_default();
            LabelSelector::from_object(&written).unwrap_or_else(|_| LabelSelector::nothing())
        });
        let nodes = selectors.map(|own| own.node_selector_requirement_matcher.as_slice());
        Self { order, labels, nodes: nodes.filter(|all| !all.is_empty()).map(requirements) }
    }

    /// Tells whether a machine with these labels, that asks these of its node, comes at all.
    pub fn fits<'a>(
        &self,
        labels: impl Fn(&str) -> Option<&'a str>,
        nodes: impl Fn(&str) -> Option<&'a str>,
    ) -> bool {
        self.labels.as_ref().is_none_or(|own| own.matches_labels(labels))
            && self.nodes.as_ref().is_none_or(|own| own.matches_labels(nodes))
    }

    /// Puts machines in order. What is drawn by lot follows from `seed`, so that a second look draws the same.
    pub(super) fn arrange(&self, members: &mut [&Member], seed: &str) {
        members.sort_by_key(|member| name::hash(&format!("{seed}/{}", member.uid)));
        match self.order {
            Some(Order::Ascending) => members.sort_by_key(|member| member.index()),
            Some(Order::Descending) => members.sort_by_key(|member| Reverse(member.index())),
            Some(Order::Newest) => members.sort_by_key(|member| Reverse(member.created)),
            Some(Order::Oldest) => members.sort_by_key(|member| member.created),
            Some(Order::Random) => {}
            None => members.sort_by_key(|member| member.is_available()),
        }
    }
}

/// Reads what a Pod's affinity would require of nodes.
fn requirements(given: &[NodeSelectorRequirement]) -> LabelSelector {
    let read = |one: &NodeSelectorRequirement| {
        let operator = match one.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::GreaterThan,
            "Lt" => Operator::LessThan,
            _ => return None,
        };
        Requirement::new(&one.key, operator, one.values.clone().unwrap_or_default()).ok()
    };
    let all: Option<Vec<_>> = given.iter().map(read).collect();
    all.map_or_else(LabelSelector::nothing, LabelSelector::new)
}
