//! Stories of the scheduler.

use std::collections::BTreeMap;

use super::teller::Story;
use machinery::selector::LabelSelector;
use plan::scheduler::{
    Action, AntiAffinity, Node, NodeTerm, Observed, Pod, PodClaim, Requests, Requirement, Taint, Toleration,
    step,
};

fn amounts(list: &[(&str, i64)]) -> Requests {
    list.iter().map(|(name, amount)| ((*name).to_owned(), amount * 1000)).collect()
}

fn labels(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn node(name: &str) -> Node {
    Node {
        name: name.into(),
        ready: true,
        labels: labels(&[("kubernetes.io/hostname", name), ("kubevirt.io/schedulable", "true")]),
        allocatable: amounts(&[
            ("cpu", 4),
            ("memory", 8192),
            ("devices.kubevirt.io/tun", 1000),
            ("pods", 110),
        ]),
        ..Node::default()
    }
}

fn pod() -> Pod {
    Pod {
        namespace: "shop".into(),
        name: "virt-launcher-web-x7c9d".into(),
        requests: amounts(&[("cpu", 1), ("memory", 2048), ("devices.kubevirt.io/tun", 1)]),
        node_selector: labels(&[("kubevirt.io/schedulable", "true")]),
        ..Pod::default()
    }
}

#[test]
fn places() {
    let mut story = Story::default();
    let mut tell = |title: &str, pod: Pod, nodes: Vec<Node>| {
        let observed = Observed { pod, nodes };
        story.scene(title, &observed, &step(&observed));
    };
    tell("No node", pod(), vec![]);
    tell("One node", pod(), vec![node("a")]);

    let mut busy = node("a");
    busy.used = amounts(&[("cpu", 2), ("memory", 4096)]);
    tell("The emptier of two", pod(), vec![busy.clone(), node("b")]);

    busy.used = amounts(&[("cpu", 4), ("memory", 8000)]);
    let mut cordoned = node("b");
    cordoned.cordoned = true;
    let mut other = node("c");
    other.labels.remove("kubevirt.io/schedulable");
    let mut tainted = node("d");
    tainted.taints = vec![Taint { key: "dedicated".into(), value: "db".into(), effect: "NoSchedule".into() }];
    let mut down = node("e");
    down.ready = false;
    let nodes = vec![busy, cordoned, other, tainted, down];
    tell("Each node has its reason", pod(), nodes.clone());

    let said = step(&Observed { pod: pod(), nodes: nodes.clone() });
    let Some(Action::Unschedulable { message: known }) = said.actions.into_iter().next() else {
        unreachable!()
    };
    tell("Nothing new", Pod { known_message: Some(known), ..pod() }, nodes.clone());

    let endures = Toleration { key: "dedicated".into(), operator: "Exists".into(), ..Toleration::default() };
    tell("A Pod that endures the taint", Pod { tolerations: vec![endures], ..pod() }, nodes);

    let selector = LabelSelector::parse("app=web").unwrap();
    let apart = AntiAffinity {
        topology_key: "kubernetes.io/hostname".into(),
        selector,
        namespaces: vec!["shop".into()],
    };
    let mut home = node("a");
    home.pods = vec![("shop".into(), labels(&[("app", "web")]))];
    tell("Away from its like", Pod { apart: vec![apart], ..pod() }, vec![home, node("b")]);

    let near = NodeTerm {
        labels: vec![Requirement {
            key: "kubernetes.io/hostname".into(),
            operator: "In".into(),
            values: vec!["b".into()],
        }],
        ..NodeTerm::default()
    };
    let nodes = || vec![node("a"), node("b")];
    let with = |claim: PodClaim| Pod { claims: vec![claim], ..pod() };
    let missing = PodClaim::Unusable { why: "persistentvolumeclaim \"data\" not found".into() };
    tell("A claim is missing", with(missing), nodes());
    tell(
        "A volume is on one node",
        with(PodClaim::Bound { name: "data".into(), nodes: vec![near] }),
        nodes(),
    );
    let delayed = |selected: Option<&str>| PodClaim::Delayed {
        name: "data".into(),
        selected: selected.map(str::to_owned),
    };
    tell("A claim waits for its first consumer", with(delayed(None)), nodes());
    tell("Its volume is being made", with(delayed(Some("b"))), nodes());
    tell("It was to be made on a node that is gone", with(delayed(Some("c"))), nodes());

    story.ends_as("scheduler");
}
