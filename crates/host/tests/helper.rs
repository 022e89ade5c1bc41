//! A program that starts itself again.

use std::process::Command;

use host::Helper;

const REPLACED: &str = "IRONCLAD_TEST_REPLACED";

#[test]
fn the_program_that_runs_is_started_again_when_another_has_taken_its_place() {
    let own = std::env::current_exe().expect("the test's own path");
    if std::env::var_os(REPLACED).is_some() {
        let helper = Helper::running().expect("what runs");
        std::fs::remove_file(&own).expect("removing the program");
        std::fs::write(&own, "#!/bin/false\n").expect("putting another in its place");
        // A role that every test program has.
        let output = helper.command("--list").output().expect("starting it again");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("another_has_taken_its_place"),
            "{output:?}"
        );
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("program");
    std::fs::copy(own, &copy).expect("a copy");
    let output = Command::new(copy).env(REPLACED, "1").output().expect("starting the copy");
    assert!(output.status.success(), "{output:?}");
}
