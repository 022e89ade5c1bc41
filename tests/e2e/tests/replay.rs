//! Scenarios recorded from a real kube-apiserver and from KubeVirt, played against the embedded one. They stand beside the
//! repository; a plain checkout has none.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use e2e::control_plane;
use kit::repository;

/// Scenarios about something that an embedded server should not do, at most five: each with the steps that are answered
/// otherwise, and the reason. The other steps have to be right.
type Listed = &'static [(&'static str, &'static str, &'static str)];

const KUBERNETES: Listed = &[
    ("label-selectors", "(absent)", SECOND_CONFIG_MAP),
    ("delete-collection", "(rest)", SECOND_CONFIG_MAP),
    ("count-quota", "(ready, one, free, again)", SECOND_CONFIG_MAP),
];
const SECOND_CONFIG_MAP: &str = "counts the ConfigMaps of a new namespace: the recorded cluster publishes a second one there, \
                                 openshift-service-ca.crt, which no plain Kubernetes has";

/// What KubeVirt's webhooks fall over is refused here by name (docs/compatibility.md).
const KUBEVIRT: Listed = &[("clone", "(no-source)", "the reference answers 500, as its webhook ends")];

/// Files of KubeVirt's scenarios that need neither agent nor patience.
const KUBEVIRT_FILES: [&str; 6] =
    ["instancetypes", "misc", "rbac", "storage-apis", "storage-apis-gated", "invalid-specs-gated"];

#[test]
fn every_recorded_scenario_is_answered_as_kubernetes_answers_it() {
    play("kubernetes", KUBERNETES, |_| true);
}

#[test]
fn recorded_scenarios_of_kubevirt_are_answered_as_kubevirt_answers_them() {
    play("kubevirt", KUBEVIRT, |file| KUBEVIRT_FILES.contains(&file));
}

/// Plays the files of a folder that are wanted; `listed` may be answered otherwise.
fn play(folder: &str, listed: Listed, wanted: impl Fn(&str) -> bool) {
    let shared = repository().join("../shared");
    let (program, scenarios) = (shared.join("tools/replay"), shared.join("spec/oracle").join(folder));
    if !program.exists() || !scenarios.exists() {
        println!("skipped: {} is not there", scenarios.display());
        return;
    }
    assert!(listed.len() <= 5, "the list is for what cannot be otherwise");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&scenarios)
        .expect("the scenarios")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| path.file_stem().and_then(|name| name.to_str()).is_some_and(&wanted))
        .collect();
    files.sort();
    // Scenarios mostly wait. Those of a file may count on being alone, so each player has a server of its own.
    let files = Mutex::new(files);
    let players: Vec<_> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..3).map(|_| scope.spawn(|| play_all(&program, &files, listed))).collect();
        players.into_iter().map(|player| player.join().expect("a player")).collect()
    });
    let played: Vec<(bool, String)> = players.into_iter().flatten().collect();
    let failed: Vec<&str> =
        played.iter().filter(|(passed, _)| !passed).map(|(_, line)| line.as_str()).collect();
    println!("{} scenarios passed or are listed, {} failed", played.len() - failed.len(), failed.len());
    assert!(failed.is_empty(), "answered otherwise than the real {folder} does:\n{}", failed.join("\n"));
}

/// Plays file after file on one server; returns for each scenario its line and whether it passed or is listed.
fn play_all(program: &Path, files: &Mutex<Vec<PathBuf>>, listed: Listed) -> Vec<(bool, String)> {
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
            let (name, steps) = rest.split_once(' ').unwrap_or((rest, ""));
            let listed = listed.iter().find(|(known, ..)| *known == name);
            match (line.split(' ').next(), listed) {
                (Some("ok"), None) => played.push((true, line.to_owned())),
                (Some("ok"), Some(_)) => {
                    played.push((false, format!("{line}: it passes, so it is not to be listed")));
                }
                (Some("FAIL"), listed) => {
                    let is_excused = listed.is_some_and(|(_, excused, _)| *excused == steps.trim());
                    played.push((is_excused, line.to_owned()));
                }
                _ => {}
            }
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(played.len() > before, "{} was not played:\n{text}{told}", file.display());
    }
}
