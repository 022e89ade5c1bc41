//! The documents' commands, run as a reader would type them.
//!
//! Every `sh` block of a document is run, one after the other in one shell, at the root of the repository with the built
//! programs and kubectl on the path; a command that fails fails the test. What must differ on a machine that others use
//! too: the data directory and the port, and `make`, which runs the tests and is not run by them.

use std::path::Path;
use std::process::{Command, Stdio};

use kit::{guest, kubectl, program, repository};

/// A document's commands.
///
/// # Panics
/// When a block of code does not say what it is: only `sh` is run, and nothing that looks like a command may be left out.
fn commands(document: &str) -> String {
    let text = std::fs::read_to_string(repository().join(document)).expect("a document");
    let mut commands = String::new();
    let mut block = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{document}:{}", number + 1);
        match (block, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let known = ["sh", "yaml", "text"].contains(&language);
                assert!(known, "{place}: a block of code says sh (it is run), yaml or text");
                block = Some(language);
            }
            (Some(_), Some(_)) => block = None,
            (Some("sh"), None) if !line.starts_with("make ") => {
                commands.push_str(line);
                commands.push('\n');
            }
            (Some(_), None) => {}
            (None, None) => {
                assert!(!line.starts_with("    "), "{place}: fence this block, so that it can be run");
            }
        }
    }
    assert!(block.is_none(), "{document}: a block of code does not end");
    commands
}

/// Runs the commands of guides, which start and stop an installation, and then those of references, which need one.
fn follow(guides: &[&str], references: &[&str]) {
    let directory = tempfile::Builder::new().prefix("ironclad-").tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    // Built before anything starts, so that what is missing is said at once.
    guest("guest-kernel.oci.tar");
    let of = |documents: &[&str]| documents.iter().map(|document| commands(document)).collect::<String>();
    let mut script = of(guides);
    if !references.is_empty() {
        script.push_str("ironclad up --detach\n");
        script.push_str(&of(references));
    }
    let script = script
        .replace("/var/lib/ironclad", data.to_str().expect("a path in UTF-8"))
        .replace("ironclad up", "ironclad up --listen 127.0.0.1:0");
    let folder = |file: &Path| file.parent().expect("a file is in a folder").display().to_string();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{}:{}:{}", folder(&program("ironclad")), folder(&kubectl()), path.to_string_lossy());
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command.args(["-euxo", "pipefail", "-c", script]).current_dir(repository()).stdin(Stdio::null());
        command.env("PATH", &path).env("HOME", directory.path()).env("IRONCLAD_DATA_DIR", &data);
        // An editor that changes nothing.
        command.env("KUBE_EDITOR", "true");
        command.output().expect("bash starts")
    };
    let output = shell(&script);
    let log = std::fs::read_to_string(data.join("logs/ironclad.log")).unwrap_or_default();
    let end = shell("[ ! -d \"$IRONCLAD_DATA_DIR\" ] || ironclad down --purge --grace-period 0");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{guides:?} {references:?} ended with {}:\n{}\n{}\nlog:\n{log}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
    assert!(end.status.success(), "{}", said(&end.stderr));
}

#[test]
fn the_readme_works() {
    follow(&["README.md"], &[]);
}

#[test]
fn the_guides_work() {
    let guides = ["docs/getting-started.md", "docs/concepts.md"];
    let references = [
        "docs/configuration.md",
        "docs/credentials.md",
        "docs/instancetypes.md",
        "docs/networking.md",
        "docs/pools.md",
        "docs/replicasets.md",
        "docs/storage.md",
        "docs/troubleshooting.md",
    ];
    follow(&guides, &references);
}

#[test]
fn every_block_of_code_says_what_it_is() {
    for folder in ["", "docs"] {
        for entry in std::fs::read_dir(repository().join(folder)).expect("a folder").flatten() {
            let document = Path::new(folder).join(entry.file_name());
            if document.extension().is_some_and(|extension| extension == "md") {
                commands(document.to_str().expect("a path in UTF-8"));
            }
        }
    }
}
