//! Limits of launcher Pods whose machines name none: a namespace whose quota counts limits takes no Pod without them.

use std::collections::BTreeMap;

use machinery::selector::LabelSelector;
use serde_json::Value;

/// Label of a namespace with the factor from a machine's memory request to its limit.
const RATIO_LABEL: &str = "alpha.kubevirt.io/auto-memory-limits-ratio";
/// The factor where no label says another.
const RATIO: f64 = 2.0;

/// Which limits a launcher Pod gets that its machine does not name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutomaticLimits {
    /// A processor for each of the machine's.
    pub cpu: bool,
    /// The memory that is requested, times this.
    pub memory: Option<f64>,
}

impl AutomaticLimits {
    /// Returns those of a namespace with these labels, whose quotas bound what `hard` says, each. Of the processors, `selector`
    /// decides as well: a `LabelSelector` for namespaces, null for none.
    pub fn of(hard: &[&Value], labels: &BTreeMap<String, String>, selector: &Value) -> Self {
        let counts = |what: &str| hard.iter().any(|quota| quota.get(what).is_some());
        let selected = LabelSelector::from_object(selector)
            .is_ok_and(|selector| selector.matches_labels(|key| labels.get(key).map(String::as_str)));
        let ratio = labels.get(RATIO_LABEL).and_then(|text| text.parse().ok());
        // What is no factor, or would be below the request, counts as not said.
        let ratio = ratio.filter(|ratio: &f64| ratio.is_finite() && *ratio >= 1.0).unwrap_or(RATIO);
        Self { cpu: counts("limits.cpu") || selected, memory: counts("limits.memory").then_some(ratio) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_quota_that_counts_limits_calls_for_them() {
        let of = |quotas: &[&Value], label: Option<&str>| {
            let labels = label.map(|value| (RATIO_LABEL.to_owned(), value.to_owned()));
            let limits = AutomaticLimits::of(quotas, &labels.into_iter().collect(), &Value::Null);
            (limits.cpu, limits.memory)
        };
        assert_eq!(of(&[], Some("3")), (false, None));
        let requests = json!({"requests.memory": "1Gi", "cpu": "4", "pods": "3"});
        assert_eq!(of(&[&requests], None), (false, None));
        let memory = json!({"limits.memory": "4Gi"});
        assert_eq!(of(&[&requests, &memory], None), (false, Some(2.0)));
        for (label, ratio) in [("1.5", 1.5), ("1", 1.0), ("0.5", 2.0), ("much", 2.0), ("inf", 2.0)] {
            assert_eq!(of(&[&memory], Some(label)), (false, Some(ratio)), "{label}");
        }
        assert_eq!(of(&[&json!({"limits.cpu": "8"})], None), (true, None));
    }

    #[test]
    fn the_installation_may_choose_namespaces() {
        let selector = json!({"matchLabels": {"team": "blue"}});
        let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
        assert!(AutomaticLimits::of(&[], &labels("blue"), &selector).cpu);
        assert!(!AutomaticLimits::of(&[], &labels("red"), &selector).cpu);
        assert!(!AutomaticLimits::of(&[], &labels("blue"), &Value::Null).cpu);
    }
}
