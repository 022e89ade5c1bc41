//! An upgrade with machines running, for `make soak`: a machine that an earlier launcher runs goes on under the agents of
//! today, which drive it and stop it.
//!
//! Built with `IRONCLAD_EARLIER_LAUNCHER` in the environment, it takes that launcher; otherwise it builds the one of
//! `IRONCLAD_EARLIER_REVISION`, or one from before the launcher knew of IPv6.

#![allow(clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::alive::{self, Session};
use kit::{Installation, Options, Processes, kill, program, repository, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
const EARLIER: &str = "7a8b40a";
const LAUNCHER: &str = "ironclad-launcher";

#[test]
#[ignore = "slow: make soak"]
fn a_machine_of_an_earlier_launcher_goes_on_and_can_be_stopped() {
    let programs = tempfile::tempdir().expect("a temporary directory");
    let place = |file: &Path, name: &str| {
        // By a new name first: what runs keeps the file that it was started from.
        let fresh = programs.path().join("fresh");
        std::fs::copy(file, &fresh).unwrap_or_else(|error| panic!("copying {}: {error}", file.display()));
        std::fs::rename(fresh, programs.path().join(name)).expect("renaming a program");
    };
    place(&program("ironclad"), "ironclad");
    place(&earlier(programs.path()), LAUNCHER);
    let options = Options { programs: Some(programs.path().to_owned()), ..Options::default() };
    let installation = Installation::start(options);
    installation.apply(&alive::manifest());
    let uptimes = || alive::uptimes(&installation.console("default", "hello"));
    until("the guest counts", PATIENCE, || uptimes().len() > 1);
    let instance = until_some("the instance shows its address", PATIENCE, || {
        let instance = installation.get("vmi", "default", "hello")?;
        instance["status"]["interfaces"][0]["ipAddress"].is_string().then_some(instance)
    });
    let uid = instance["metadata"]["uid"].as_str().expect("an identity").to_owned();
    let processes = Processes::of(&uid).expect("its Pod runs");
    let hypervisor = processes.hypervisor().expect("its hypervisor runs");
    let address = instance["status"]["interfaces"][0]["ipAddress"].as_str().unwrap_or_default().to_owned();
    let mut session = rustix::process::geteuid().is_root().then(|| Session::open(&address));

    installation.kill();
    place(&program(LAUNCHER), LAUNCHER);
    installation.up();
    let mut goes_on = |when: &str| {
        let before = uptimes().len();
        if let Some(session) = &mut session {
            session.check(when);
        }
        until(&format!("{when}: the guest counts on"), PATIENCE, || uptimes().len() > before + 1);
        assert!(uptimes().is_sorted(), "{when}: it was not started again");
        until(&format!("{when}: the instance is ready"), PATIENCE, || {
            let instance = installation.get("vmi", "default", "hello").unwrap_or_default();
            let conditions = instance["status"]["conditions"].as_array().cloned().unwrap_or_default();
            instance["metadata"]["uid"] == uid.as_str()
                && conditions.iter().any(|entry| entry["type"] == "Ready" && entry["status"] == "True")
        });
        assert_eq!(processes.hypervisor(), Some(hypervisor), "{when}: the same hypervisor");
    };
    goes_on("after the upgrade");
    let launcher = processes.launcher().expect("its supervisor runs");
    kill(launcher);
    until("the earlier shim starts another supervisor", PATIENCE, || {
        processes.launcher().is_some_and(|now| now != launcher)
    });
    goes_on("after its supervisor was killed");
    for verb in ["pause", "unpause"] {
        let mut virtctl = installation.client_program(&program("virtctl"));
        virtctl.args([verb, "vm", "hello"]);
        assert!(virtctl.status().expect("starting virtctl").success(), "virtctl {verb}");
    }
    goes_on("after a pause");
    installation.kubectl(&["delete", "vm", "hello", "--wait", "--timeout", "90s"]).expect("deleting it");
    until("its Pod is gone", PATIENCE, || installation.list("pods").is_empty());
    assert_eq!(processes.hypervisor(), None);

    // The next one is run by the launcher of today.
    installation.apply(&alive::manifest());
    until("the next machine counts", PATIENCE, || uptimes().len() > 1);
}

/// Returns an earlier launcher; one that has to be built first is built below the repository's target directory.
fn earlier(scratch: &Path) -> PathBuf {
    if let Some(path) = option_env!("IRONCLAD_EARLIER_LAUNCHER") {
        return PathBuf::from(path);
    }
    let revision = option_env!("IRONCLAD_EARLIER_REVISION").unwrap_or(EARLIER);
    let (tree, target) = (scratch.join("tree"), repository().join("target/earlier"));
    let done = |command: &mut Command, remedy: &str| {
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(status.success(), "{command:?}: {remedy}");
    };
    let remedy = "the clone needs its history, or build with IRONCLAD_EARLIER_LAUNCHER=FILE";
    std::fs::create_dir(&tree).expect("a directory");
    let archive = scratch.join("tree.tar");
    let mut git = Command::new("git");
    git.current_dir(repository()).args(["archive", revision, "-o"]).arg(&archive);
    done(&mut git, remedy);
    done(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&tree), "tar is needed");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&tree).args(["build", "--locked", "-p", "launcher", "--target-dir"]).arg(&target);
    done(&mut cargo, "an earlier revision builds as this one does");
    target.join("debug").join(LAUNCHER)
}
