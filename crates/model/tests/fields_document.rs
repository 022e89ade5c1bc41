//! `docs/fields.md` is made from the table of field states. `UPDATE_DOCS=1 cargo test -p model` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use model::fields::{State, annotations, entries};

fn document() -> String {
    let mut text = String::from(
        "# Fields\n\n\
         What becomes of each field of the API. A line stands for everything below its path, unless a longer path has a line of its\n\
         own. Made from the table in `crates/model/src/fields/`; a test keeps the two equal.\n\n\
         - **honoured**: works as the API says.\n\
         - **refused**: accepted into the object; the machine stays unscheduled, with a condition that names the field, the reason\n  \
           and the remedy.\n\
         - **honoured with KVM**: works where KVM runs the guest, changes nothing under emulation; answered with a warning.\n\
         - **no effect**: accepted, and answered with a warning that begins `ironclad:`.\n",
    );
    for kind in api::facts::kinds().iter().map(|kind| kind.kind) {
        write!(text, "\n## {kind}\n\n| field | state | why, and what to do |\n|---|---|---|\n")
            .expect("strings take text");
        for (path, state) in entries(kind) {
            let path = if path.is_empty() { "everything else".to_owned() } else { format!("`{path}`") };
            line(&mut text, &path, state);
        }
    }
    text.push_str("\n## Annotations\n\nOf an instance, or of the template of a machine, replica set or pool.\n\n| annotation | state | why, and what to do |\n|---|---|---|\n");
    for (name, state) in annotations() {
        line(&mut text, &format!("`{name}`"), *state);
    }
    text
}

fn line(text: &mut String, what: &str, state: State) {
    let (word, note) = match state {
        State::Honoured => ("honoured".to_owned(), String::new()),
        State::Only { values, reason, remedy } => {
            (format!("only {}", values.join(", ")), format!("{reason}; {remedy}"))
        }
        State::Refused { reason, remedy } => ("refused".to_owned(), format!("{reason}; {remedy}")),
        State::WithKvm { note } => ("honoured with KVM".to_owned(), note.to_owned()),
        State::Harmless { note, .. } => ("no effect".to_owned(), note.to_owned()),
    };
    writeln!(text, "| {what} | {word} | {} |", note.replace('|', "\\|")).expect("strings take text");
}

#[test]
fn the_document_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fields.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/fields.md is out of date: run `UPDATE_DOCS=1 cargo test -p model`");
}
