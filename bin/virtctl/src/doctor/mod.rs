//! Whether a user has what is needed to work with virtual machines: a server, an installation, rights, nodes, storage, and
//! programs on this machine. What is seen is gathered first; judging it is pure.

mod cluster;
mod local;
mod rights;
mod server;
mod sight;

use serde_json::{Value, json};

pub(crate) use sight::{Sight, gather};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    Good,
    /// Some commands do not work, or not as well.
    Limited,
    /// Nothing works without it.
    Bad,
}

impl Grade {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Limited => "limited",
            Self::Bad => "FAILS",
        }
    }
}

/// What was found about one subject, what it means, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) subject: &'static str,
    pub(crate) grade: Grade,
    pub(crate) meaning: String,
    /// Empty when nothing is to do.
    pub(crate) remedy: String,
}

impl Finding {
    fn good(subject: &'static str, meaning: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Good, meaning: meaning.into(), remedy: String::new() }
    }

    fn limited(subject: &'static str, meaning: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Limited, meaning: meaning.into(), remedy: remedy.into() }
    }

    fn bad(subject: &'static str, meaning: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Bad, meaning: meaning.into(), remedy: remedy.into() }
    }

    /// Writes it for programs.
    pub(crate) fn document(&self) -> Value {
        json!({
            "subject": self.subject,
            "grade": self.grade.word().to_lowercase(),
            "meaning": self.meaning,
            "remedy": self.remedy,
        })
    }
}

/// Judges what is seen. Without a server, nothing that it would say is judged.
pub(crate) fn judge(sight: &Sight) -> Vec<Finding> {
    let server = server::reachable(sight);
    let reached = server.grade != Grade::Bad;
    let mut findings = vec![server];
    if reached {
        findings.push(server::user(sight));
        findings.extend(server::groups(sight));
        findings.extend(server::installation(sight));
        findings.push(rights::judge(sight));
        findings.extend(cluster::nodes(sight));
        findings.extend(cluster::storage(sight));
        findings.push(cluster::machines(sight));
    }
    findings.push(local::judge(sight));
    findings
}

#[cfg(test)]
mod tests {
    use super::sight::Seen;
    use super::*;

    /// A sight where all is well.
    pub(super) fn well() -> Sight {
        let node = json!({"metadata": {"name": "node-0"}, "status": {
            "allocatable": {"devices.kubevirt.io/kvm": "1k"},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "False"}]}});
        let class = json!({"metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
        let groups: Vec<_> = server::GROUPS.iter().map(|(name, ..)| json!({"name": name})).collect();
        let installation = json!({"metadata": {"namespace": "kubevirt", "name": "kubevirt"}, "status": {
            "phase": "Deployed", "conditions": [{"type": "Available", "status": "True"}]}});
        Sight {
            address: "https://here:6443".to_owned(),
            namespace: "team".to_owned(),
            version: Seen::It(json!({"gitVersion": "v1.36.0"})),
            user: Seen::It(json!({"status": {"userInfo": {"username": "me"}}})),
            groups: Seen::It(json!({"groups": groups})),
            older: None,
            installation: Seen::It(json!({"items": [installation]})),
            rights: rights::WANTED.iter().map(|_| Seen::It(json!({"status": {"allowed": true}}))).collect(),
            nodes: Seen::It(json!({"items": [node]})),
            classes: Seen::It(json!({"items": [class]})),
            machines: Seen::It(json!({"items": []})),
            programs: local::PROGRAMS.iter().map(|(program, ..)| (*program).to_owned()).collect(),
        }
    }

    fn worst(sight: &Sight) -> Vec<Finding> {
        judge(sight).into_iter().filter(|finding| finding.grade != Grade::Good).collect()
    }

    fn only(sight: &Sight) -> Finding {
        let found = worst(sight);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].remedy.is_empty());
        found.into_iter().next().unwrap()
    }

    fn refused(code: u16) -> Seen {
        Seen::Not { code: Some(code), why: "no".to_owned() }
    }

    #[test]
    fn where_all_is_well_nothing_is_to_do() {
        assert_eq!(worst(&well()), []);
    }

    #[test]
    fn without_a_server_only_this_machine_is_judged() {
        for (why, remedy) in [
            ("Connection refused (os error 111)", "ironclad status"),
            ("invalid peer certificate: UnknownIssuer", "certificate"),
            ("failed to lookup address information: Name or service not known", "kubeconfig"),
        ] {
            let sight = Sight { version: Seen::Not { code: None, why: why.to_owned() }, ..well() };
            let found = only(&sight);
            assert_eq!((found.subject, found.grade), ("server", Grade::Bad));
            assert!(found.remedy.contains(remedy), "{}", found.remedy);
            assert!(judge(&sight).iter().all(|finding| ["server", "programs"].contains(&finding.subject)));
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let without = |name: &str| {
            let mut sight = well();
            let Seen::It(groups) = &mut sight.groups else { panic!("groups are seen") };
            groups["groups"].as_array_mut().unwrap().retain(|group| group["name"] != name);
            only(&sight)
        };
        assert_eq!(without("kubevirt.io").grade, Grade::Bad);
        assert!(without("subresources.kubevirt.io").meaning.contains("start, stop"));
        assert_eq!(without("cdi.kubevirt.io").grade, Grade::Limited);
        assert!(without("metrics.k8s.io").meaning.contains("virtctl top"));

        let unknown = Sight { user: refused(401), ..well() };
        assert!(only(&unknown).remedy.contains("--token"));

        let older = Sight { older: Some("Client Version: a\nServer Version: b".to_owned()), ..well() };
        assert!(only(&older).meaning.contains("Server Version: b"));

        let degraded = json!({"items": [{"metadata": {"name": "kubevirt", "namespace": "kubevirt"}, "status": {"phase": "Deploying",
            "conditions": [{"type": "Degraded", "status": "True", "message": "virt-api is not ready"}]}}]});
        let found = only(&Sight { installation: Seen::It(degraded), ..well() });
        assert!(found.meaning.contains("virt-api is not ready"), "{}", found.meaning);
        let absent = Sight { installation: Seen::It(json!({"items": []})), ..well() };
        assert_eq!(only(&absent).subject, "installation");
    }

    #[test]
    fn rights_that_are_missing_are_listed() {
        let mut sight = well();
        sight.rights[0] = Seen::It(json!({"status": {"allowed": false}}));
        let found = only(&sight);
        assert!(found.meaning.contains("create virtualmachines"), "{}", found.meaning);
        assert!(
            found.remedy.contains("kubevirt.io:edit") && found.remedy.contains("--namespace=team"),
            "{}",
            found.remedy
        );
        sight.rights.iter_mut().for_each(|right| *right = refused(403));
        assert_eq!(worst(&sight), [], "who may not ask may have all rights");
    }

    #[test]
    fn nodes_and_storage_are_judged_where_they_may_be_seen() {
        let hidden = Sight { nodes: refused(403), classes: refused(403), ..well() };
        assert_eq!(worst(&hidden), []);
        let empty = Sight { nodes: Seen::It(json!({"items": []})), ..well() };
        assert_eq!(only(&empty).grade, Grade::Bad);
        let node =
            |status: Value| Seen::It(json!({"items": [{"metadata": {"name": "n"}, "status": status}]}));
        let ready = json!({"type": "Ready", "status": "True"});
        let emulated = Sight { nodes: node(json!({"conditions": [ready], "allocatable": {}})), ..well() };
        assert!(only(&emulated).meaning.contains("KVM"));
        let silent = Sight {
            nodes: node(
                json!({"conditions": [{"type": "Ready", "status": "Unknown", "message": "no word"}]}),
            ),
            ..well()
        };
        assert!(only(&silent).meaning.contains("no word"));
        let full = json!([ready, {"type": "DiskPressure", "status": "True", "message": "the disk is full"},
            {"type": "HypervisorAvailable", "status": "False", "message": "QEMU is missing"}]);
        let full = Sight {
            nodes: node(json!({"conditions": full, "allocatable": {"devices.kubevirt.io/kvm": "1"}})),
            ..well()
        };
        let said = only(&full).meaning;
        assert!(said.contains("the disk is full") && said.contains("QEMU is missing"), "{said}");
        let classes = Seen::It(json!({"items": [{"metadata": {"name": "fast"}}]}));
        assert!(only(&Sight { classes, ..well() }).meaning.contains("no default"));
    }

    #[test]
    fn machines_in_trouble_are_named() {
        let machine = |name: &str, status: &str| json!({"metadata": {"namespace": "team", "name": name}, "status": {"printableStatus": status}});
        let machines = json!({"items": [machine("a", "Running"), machine("b", "CrashLoopBackOff"), machine("c", "Stopped")]});
        let found = only(&Sight { machines: Seen::It(machines), ..well() });
        assert!(
            found.meaning.contains("b (CrashLoopBackOff)") && !found.meaning.contains("c ("),
            "{}",
            found.meaning
        );
        assert!(found.remedy.contains("virtctl explain-status b"), "{}", found.remedy);
    }

    #[test]
    fn programs_that_are_missing_say_what_does_not_work() {
        let mut sight = well();
        sight.programs.retain(|program| program != "ssh");
        assert!(only(&sight).meaning.contains("virtctl ssh"));
        let mut sight = well();
        sight.programs.retain(|program| program != "remote-viewer");
        assert_eq!(worst(&sight), [], "another viewer is there");
    }
}
