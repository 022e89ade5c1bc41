//! Collects scenes and compares them with the text on record.

use std::fmt::Display;

use jiff::Timestamp;

/// When stories begin.
pub fn noon() -> Timestamp {
    "2026-01-05T12:00:00Z".parse().unwrap()
}

/// `seconds` after the beginning.
pub fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(noon().as_second() + seconds).unwrap()
}

/// A story: scenes in order.
#[derive(Default)]
pub struct Story(String);

impl Story {
    pub fn scene(&mut self, title: &str, observed: &impl Display, plan: &impl Display) {
        let indent = |text: String, with: &str| {
            text.trim_end().lines().fold(String::new(), |all, line| all + with + line + "\n")
        };
        self.0 += "# ";
        self.0 += title;
        self.0 += "\n\n";
        self.0 += &indent(observed.to_string(), "    ");
        self.0 += "\n";
        self.0 += &indent(plan.to_string(), "  > ");
        self.0 += "\n";
    }

    pub fn ends_as(self, name: &str) {
        insta::with_settings!({
            snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true,
        }, {
            insta::assert_snapshot!(name, self.0);
        });
    }
}
