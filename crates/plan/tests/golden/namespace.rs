//! Stories of namespaces.

use std::fmt;

use super::teller::{Story, after, noon};
use plan::namespace::{Action, Observed, Remainder, step};

struct Shown<'a>(&'a Observed);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.0;
        write!(f, "a namespace{}", if namespace.deleting { ", being deleted" } else { "" })?;
        if !namespace.deleting {
            write!(f, "\n  account: {}, authority: {:?}", namespace.has_account, namespace.root_ca)?;
        }
        for left in &namespace.contents {
            write!(f, "\n  {}: {} left, {} not asked to go", left.resource, left.all, left.untouched)?;
        }
        Ok(())
    }
}

#[test]
fn life() {
    let mut story = Story::default();
    let mut tell =
        |title: &str, namespace: Observed| story.scene(title, &Shown(&namespace), &step(&namespace, noon()));
    let new = Observed { wanted_ca: Some("CA".into()), ..Observed::default() };
    tell("A new namespace", new.clone());
    let settled = Observed { has_account: true, root_ca: Some("CA".into()), ..new };
    tell("It has all it needs", settled.clone());
    tell("The authority was renewed", Observed { wanted_ca: Some("CA 2".into()), ..settled.clone() });
    let left = |resource: &str, untouched, all| Remainder {
        resource: resource.into(),
        untouched,
        all,
        ..Remainder::default()
    };
    let ending = Observed { deleting: true, held: true, ..settled };
    let contents = vec![left("pods", 2, 3), left("secrets", 0, 0)];
    tell("It is deleted", Observed { contents, ..ending.clone() });
    tell("What is in it goes", Observed { contents: vec![left("pods", 0, 1)], ..ending.clone() });
    let held = |finalizer: &str, all| Remainder {
        finalizers: [(finalizer.to_owned(), all)].into(),
        ..left("virtualmachines.kubevirt.io", 0, all)
    };
    let stuck = vec![left("pods", 0, 1), held("example.test/keep", 2)];
    let stuck = Observed { contents: stuck, ..ending.clone() };
    tell("Some of it does not go", stuck.clone());
    let said = step(&stuck, noon()).actions.into_iter().find_map(|action| match action {
        Action::Report { conditions } => Some(conditions),
        _ => None,
    });
    let said = Observed { conditions: said.expect("it says so"), ..stuck };
    assert_eq!(step(&said, after(60)).actions, [], "it says so once");
    let fewer = Observed { contents: vec![held("example.test/keep", 1)], told: Some(noon()), ..said };
    assert_eq!(step(&fewer, after(4)).actions, [], "and does not count aloud");
    assert_ne!(step(&fewer, after(5)).actions, []);
    let untold = Observed { undiscovered: vec!["example.test/v1: 503".into()], ..ending.clone() };
    tell("Somebody does not say what is in it", untold);
    let uncounted = Observed { failures: vec!["list loads.example.test: 500".into()], ..ending.clone() };
    tell("Somebody does not say how much is in it", uncounted);
    tell("It is empty", ending.clone());
    tell("It was let go", Observed { held: false, ..ending });
    story.ends_as("namespace");
}
