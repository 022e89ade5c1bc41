//! Stories of migrations.

use std::fmt;

use super::teller::{Story, after};
use plan::migration::{Migration, Observed, Status, step};
use serde_json::json;

struct Shown<'a>(&'a Observed);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Observed { instance_name, instance, migration, .. } = self.0;
        let going = if migration.deleting { ", going" } else { "" };
        writeln!(f, "migration of {instance_name} ({instance:?}), phase {:?}{going}", migration.status.phase)
    }
}

#[test]
fn waiting() {
    let mut story = Story::default();
    let mut seen = Observed {
        now: after(0),
        instance_name: "web".into(),
        instance: Some("Running".into()),
        receives: false,
        migration: Migration {
            finalizers: vec!["kubevirt.io/migrationJobFinalize".into(), "x.test/y".into()],
            ..Migration::default()
        },
    };
    story.scene("A new migration", &Shown(&seen), &step(&seen));
    seen.migration.status = Status {
        phase: "Pending".into(),
        phase_transition_timestamps: vec![
            json!({"phase": "Pending", "phaseTransitionTimestamp": "2026-01-05T12:00:00Z"}),
        ],
    };
    story.scene("It waits", &Shown(&seen), &step(&seen));
    let mut deleted = seen.clone();
    deleted.migration.deleting = true;
    story.scene("It is deleted", &Shown(&deleted), &step(&deleted));
    seen.now = after(60);
    seen.instance = Some("Succeeded".into());
    story.scene("Its instance ends", &Shown(&seen), &step(&seen));
    seen.instance = None;
    story.scene("Its instance is gone", &Shown(&seen), &step(&seen));
    seen.migration.status.phase = "Failed".into();
    story.scene("It has failed", &Shown(&seen), &step(&seen));
    let late = Observed { receives: true, migration: Migration::default(), ..seen };
    story.scene("A machine shall arrive from another cluster", &Shown(&late), &step(&late));
    story.ends_as("migration");
}
