//! Namespaces: what each starts with, and how one ends.

mod remains;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::Plan;
use crate::condition::Condition;

/// Service account of Pods that name none.
pub const DEFAULT_ACCOUNT: &str = "default";
/// ConfigMap with the certificate authority that Pods trust.
pub const ROOT_CA: &str = "kube-root-ca.crt";
/// While much goes, counts change with each look: they are told no more often than this.
const TELLING: Duration = Duration::from_secs(5);
/// The finalizer in `spec.finalizers` that holds a namespace until it is empty.
pub const FINALIZER: &str = "kubernetes";

/// A namespace as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it still waits for us (`spec.finalizers`).
    pub held: bool,
    /// Whether the default service account is there.
    pub has_account: bool,
    /// Data of the certificate authority's ConfigMap, if it is there.
    pub root_ca: Option<String>,
    /// The certificate authority that Pods should trust, if it is known.
    pub wanted_ca: Option<String>,
    /// When it ends: how many objects of each resource are left.
    pub contents: Vec<Remainder>,
    /// When it ends: groups of which it is not known what they have, with the reason.
    pub undiscovered: Vec<String>,
    /// When it ends: why objects of some resource could not be counted.
    pub failures: Vec<String>,
    /// What it says of its end.
    pub conditions: Vec<Condition>,
    /// When it ends: when it was last made to say what it waits for.
    pub told: Option<Timestamp>,
}

/// Objects of one resource that are left in a namespace that ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remainder {
    /// Name of the resource.
    pub resource: String,
    /// Objects that nobody has asked to delete yet.
    pub untouched: usize,
    /// All objects.
    pub all: usize,
    /// How many of them wait for each finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

/// One thing to do for a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the default service account.
    CreateAccount,
    /// Create or correct the certificate authority's ConfigMap.
    PublishRootCa,
    /// Delete all objects of a resource.
    Empty {
        /// Name of the resource.
        resource: String,
    },
    /// Say what it waits for: all its conditions.
    Report {
        /// The conditions.
        conditions: Vec<Condition>,
    },
    /// Let the namespace go.
    Finalize,
}

/// Decides what a namespace needs now.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    if !observed.deleting {
        // Whoever waits for the account finds the rest.
        if observed.wanted_ca.is_some() && observed.root_ca != observed.wanted_ca {
            plan.push(Action::PublishRootCa);
        }
        if !observed.has_account {
            plan.push(Action::CreateAccount);
        }
        return plan;
    }
    if !observed.held {
        return plan;
    }
    for remainder in observed.contents.iter().filter(|remainder| remainder.untouched > 0) {
        plan.push(Action::Empty { resource: remainder.resource.clone() });
    }
    // What is not known may be there, and would belong to the next namespace of this name.
    let is_known = observed.undiscovered.is_empty() && observed.failures.is_empty();
    let is_empty = observed.contents.iter().all(|remainder| remainder.all == 0);
    if is_empty && is_known {
        plan.push(Action::Finalize);
    } else {
        // Told when all was asked to go and something stays.
        if plan.actions.is_empty() {
            let conditions = remains::conditions(observed, now);
            let is_due = observed.told.is_none_or(|told| told + TELLING <= now);
            if is_due && conditions != observed.conditions {
                plan.push(Action::Report { conditions });
            }
        }
        if is_empty {
            plan.look_again(Duration::from_secs(5), "everybody to say what is in it");
        } else {
            plan.look_again(Duration::from_millis(500), "the objects in it to go");
        }
    }
    plan
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateAccount => f.write_str("create the default service account"),
            Self::PublishRootCa => f.write_str("publish the certificate authority"),
            Self::Empty { resource } => write!(f, "delete all {resource}"),
            Self::Report { conditions } => {
                f.write_str("say what it waits for")?;
                conditions.iter().try_for_each(|condition| write!(f, "\n    {condition}"))
            }
            Self::Finalize => f.write_str("let it go"),
        }
    }
}
