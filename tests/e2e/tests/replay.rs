//! Scenarios recorded from a real kube-apiserver, played against the embedded one. They stand beside the repository; a plain
//! checkout has none.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use e2e::control_plane;
use kit::repository;

/// Scenarios about something that an embedded server should not do, with the reason: at most five.
const LISTED: &[(&str, &str)] = &[
    ("label-selectors", SECOND_CONFIG_MAP),
    ("delete-collection", SECOND_CONFIG_MAP),
    ("count-quota", SECOND_CONFIG_MAP),
];
const SECOND_CONFIG_MAP: &str = "counts the ConfigMaps of a new namespace: the recorded cluster publishes a second one there, \
                                 openshift-service-ca.crt, which no plain Kubernetes has";

#[test]
fn every_recorded_scenario_is_answered_as_kubernetes_answers_it() {
    let shared = repository().join("../shared");
    let (program, scenarios) = (shared.join("tools/replay"), shared.join("spec/oracle/kubernetes"));
    if !program.exists() || !scenarios.exists() {
        println!("skipped: {} is not there", scenarios.display());
        return;
    }
    assert!(LISTED.len() <= 5, "the list is for what cannot be otherwise");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&scenarios)
        .expect("the scenarios")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    // Scenarios mostly wait. Those of a file may count on being alone, so each player has a server of its own.
    let files = Mutex::new(files);
    let players: Vec<_> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..3).map(|_| scope.spawn(|| play_all(&program, &files))).collect();
        players.into_iter().map(|player| player.join().expect("a player")).collect()
    });
    let played: Vec<(bool, String)> = players.into_iter().flatten().collect();
    let failed: Vec<&str> =
        played.iter().filter(|(passed, _)| !passed).map(|(_, line)| line.as_str()).collect();
    println!("{} scenarios passed or are listed, {} failed", played.len() - failed.len(), failed.len());
    assert!(failed.is_empty(), "answered otherwise than Kubernetes does:\n{}", failed.join("\n"));
}

/// Plays file after file on one server; returns for each scenario its line and whether it passed or is listed.
fn play_all(program: &Path, files: &Mutex<Vec<PathBuf>>) -> Vec<(bool, String)> {
    let api = control_plane();
    let mut played = Vec::new();
    loop {
        let Some(file) = files.lock().expect("no player panics with it").pop() else { return played };
        let mut play = api.client_program(Path::new("python3"));
        let output =
            play.arg(program).arg(&file).stdin(Stdio::null()).output().expect("make deps installs it");
        let text = String::from_utf8_lossy(&output.stdout);
        let before = played.len();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once(".yaml: ") else { continue };
            let name = rest.split(' ').next().unwrap_or_default();
            let is_listed = LISTED.iter().any(|(listed, _)| *listed == name);
            match line.split(' ').next() {
                Some("ok") => played.push((true, line.to_owned())),
                Some("FAIL") => played.push((is_listed, line.to_owned())),
                _ => {}
            }
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(played.len() > before, "{} was not played:\n{text}{told}", file.display());
    }
}
