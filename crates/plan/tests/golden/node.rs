//! Stories of nodes.

use std::fmt;
use std::time::Duration;

use super::teller::{Story, after};
use plan::node::{Instance, Observed, step};

struct Shown<'a>(&'a Observed);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0;
        writeln!(f, "node {}, schedulable {:?}", node.name, node.schedulable)?;
        if let Some(heartbeat) = node.heartbeat {
            writeln!(f, "  last sign of life {heartbeat}, {:?} ago", node.silent_for)?;
        }
        for instance in &node.instances {
            let pod = if instance.has_pod { "with" } else { "without" };
            writeln!(f, "  instance {}/{} {pod} a Pod", instance.namespace, instance.name)?;
        }
        Ok(())
    }
}

#[test]
fn silence() {
    let mut story = Story::default();
    let instance = |name: &str, has_pod| Instance { namespace: "shop".into(), name: name.into(), has_pod };
    let mut node = Observed { name: "node-a".into(), ..Observed::default() };
    story.scene("A node without an agent", &Shown(&node), &step(&node));
    node.schedulable = Some(true);
    node.heartbeat = Some(after(0));
    node.instances = vec![instance("web", true), instance("lost", false)];
    node.silent_for = Duration::from_secs(60);
    story.scene("An agent that lives", &Shown(&node), &step(&node));
    node.silent_for = Duration::from_secs(301);
    story.scene("An agent that fell silent", &Shown(&node), &step(&node));
    node.schedulable = Some(false);
    node.instances.pop();
    story.scene("It stays silent", &Shown(&node), &step(&node));
    node.heartbeat = Some(after(500));
    node.silent_for = Duration::from_secs(1);
    story.scene("It is back; the agent marks the node itself", &Shown(&node), &step(&node));
    story.ends_as("node-silence");
}
