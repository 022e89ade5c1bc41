//! Stories of owner references.

use std::fmt;

use super::teller::Story;
use plan::gc::{Dependent, Observed, Owner, OwnerState, step};

struct Shown<'a>(&'a Observed);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.0;
        write!(f, "an object")?;
        for (is, word) in [
            (object.deleting, "being deleted"),
            (object.foreground, "in the foreground"),
            (object.orphan, "with orphans"),
        ] {
            if is {
                write!(f, ", {word}")?;
            }
        }
        for owner in &object.owners {
            write!(f, "\n  owner {}: {:?}", owner.uid, owner.state)?;
        }
        for dependent in &object.dependents {
            let blocks = if dependent.blocks { ", blocks" } else { "" };
            write!(f, "\n  owns {}{blocks}", dependent.name)?;
        }
        Ok(())
    }
}

struct Lines(Vec<plan::gc::Action>);

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            writeln!(f, "do nothing")?;
        }
        self.0.iter().try_for_each(|action| writeln!(f, "{action}"))
    }
}

#[test]
fn ownership() {
    let mut story = Story::default();
    let mut tell = |title: &str, object: Observed| story.scene(title, &Shown(&object), &Lines(step(&object)));
    let owner = |uid: &str, state| Owner { uid: uid.into(), state };
    let dependent = |uid: &str, blocks| Dependent {
        name: format!("shop/{uid}"),
        uid: uid.into(),
        deleting: false,
        blocks,
    };
    let base = Observed::default;
    tell("No owner", base());
    tell("The owner exists", Observed { owners: vec![owner("vm", OwnerState::Present)], ..base() });
    tell("The owner is gone", Observed { owners: vec![owner("vm", OwnerState::Absent)], ..base() });
    tell(
        "One of two owners is gone",
        Observed { owners: vec![owner("a", OwnerState::Absent), owner("b", OwnerState::Present)], ..base() },
    );
    tell(
        "The owner waits in the foreground",
        Observed { owners: vec![owner("vm", OwnerState::WaitsForOwned)], ..base() },
    );
    tell(
        "The owner waits, and the object owns something itself",
        Observed {
            owners: vec![owner("vm", OwnerState::WaitsForOwned)],
            dependents: vec![dependent("pod", true)],
            ..base()
        },
    );
    let foreground = Observed { deleting: true, foreground: true, ..base() };
    tell(
        "A foreground deletion waits for what blocks it",
        Observed { dependents: vec![dependent("pod", true)], ..foreground.clone() },
    );
    tell(
        "What does not block it may stay",
        Observed { dependents: vec![dependent("note", false)], ..foreground },
    );
    let orphan = Observed { deleting: true, orphan: true, ..base() };
    tell(
        "References are dropped first",
        Observed { dependents: vec![dependent("pod", true)], ..orphan.clone() },
    );
    tell("Then the owner goes", orphan);
    story.ends_as("gc");
}
