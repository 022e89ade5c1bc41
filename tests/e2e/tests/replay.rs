//! Scenarios recorded from a real kube-apiserver and from KubeVirt, played against the embedded one. They stand beside the
//! repository; a plain checkout has none.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use e2e::control_plane;
use kit::{Installation, repository, until};

/// A scenario about something that an embedded server should not do: its file and name, the steps that are answered otherwise,
/// and the reason. The other steps have to be right.
struct Otherwise {
    file: &'static str,
    scenario: &'static str,
    steps: &'static str,
    why: &'static str,
}

const fn otherwise(
    file: &'static str,
    scenario: &'static str,
    steps: &'static str,
    why: &'static str,
) -> Otherwise {
    Otherwise { file, scenario, steps, why }
}

const KUBERNETES: &[Otherwise] = &[
    otherwise("list-watch", "label-selectors", "(absent)", SECOND_CONFIG_MAP),
    otherwise("list-watch", "delete-collection", "(rest)", SECOND_CONFIG_MAP),
    otherwise("quota-limits", "count-quota", "(ready, one, free, again)", SECOND_CONFIG_MAP),
];
const SECOND_CONFIG_MAP: &str = "counts the ConfigMaps of a new namespace: the recorded cluster publishes a second one there, \
                                 openshift-service-ca.crt, which no plain Kubernetes has";

/// docs/compatibility.md has them, too.
const KUBEVIRT: &[Otherwise] = &[
    otherwise("storage-apis", "clone", "(no-source)", WEBHOOK_ENDS),
    otherwise("storage-apis-gated", "clone", "(no-source)", WEBHOOK_ENDS),
    otherwise("subresources-gated", "vm-halted-vm-other", "(vm-addvolume)", HOTPLUG),
    otherwise("subresources-gated", "vmi-running-vm-other", "(vm-addvolume)", HOTPLUG),
    otherwise("lifecycle", "launcher-resources", RESOURCES, OVERHEAD_AND_NODE),
];
const WEBHOOK_ENDS: &str = "the reference answers 500, as its webhook ends; what is missing is named here";
const HOTPLUG: &str =
    "volumes do not come and go while a machine runs yet, and a trial is answered as the real request is";
const RESOURCES: &str = "(pod-cores, pod-limits, pod-dedicated, pod-huge, pod-noauto, pod-iot)";
const OVERHEAD_AND_NODE: &str = "a launcher asks for the 80 MiB that it is measured to need, not for 220; and what no node offers is \
                                 told of by its field, without a Pod that waits for a node";

#[test]
fn every_recorded_scenario_is_answered_as_kubernetes_answers_it() {
    play("kubernetes", KUBERNETES);
}

#[test]
fn recorded_scenarios_of_kubevirt_are_answered_as_kubevirt_answers_them() {
    play("kubevirt", KUBEVIRT);
}

/// Plays the files of a folder; `listed` may be answered otherwise.
fn play(folder: &str, listed: &'static [Otherwise]) {
    let shared = repository().join("../shared");
    let (program, scenarios) = (shared.join("tools/replay"), shared.join("spec/oracle").join(folder));
    if !program.exists() || !scenarios.exists() {
        println!("skipped: {} is not there", scenarios.display());
        return;
    }
    assert!(listed.len() <= 5, "the list is for what cannot be otherwise");
    assert!(listed.iter().all(|own| !own.why.is_empty()), "what is answered otherwise has a reason");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&scenarios)
        .expect("the scenarios")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
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

/// Waits until a new server has made what it makes by itself: the scenarios were recorded where all of that was there.
fn begins(api: &Installation) {
    until("the server is at rest", Duration::from_secs(120), || {
        let is_there = |kind: &str, namespace: &str, name: &str| api.get(kind, namespace, name).is_some();
        let installation = api.get("kubevirt", "kubevirt", "kubevirt").unwrap_or_default();
        installation["status"]["observedGeneration"].is_number()
            && is_there("configmap", "default", "kube-root-ca.crt")
            && is_there("configmap", "kubevirt", "kube-root-ca.crt")
            && is_there("virtualmachineclusterpreference", "", "windows.11.virtio")
    });
}

/// Plays file after file on one server; returns for each scenario its line and whether it passed or is listed.
fn play_all(program: &Path, files: &Mutex<Vec<PathBuf>>, listed: &[Otherwise]) -> Vec<(bool, String)> {
    let api = control_plane();
    begins(&api);
    let mut played = Vec::new();
    loop {
        let Some(file) = files.lock().expect("no player panics with it").pop() else { return played };
        let mut play = api.client_program(Path::new("python3"));
        let output =
            play.arg(program).arg(&file).stdin(Stdio::null()).output().expect("make deps installs it");
        let text = String::from_utf8_lossy(&output.stdout);
        let (before, stem) = (played.len(), file.file_stem().and_then(|name| name.to_str()));
        for line in text.lines() {
            let Some((_, rest)) = line.split_once(".yaml: ") else { continue };
            let (name, steps) = rest.split_once(' ').unwrap_or((rest, ""));
            let own = |known: &&Otherwise| Some(known.file) == stem && known.scenario == name;
            let listed = listed.iter().find(own);
            match (line.split(' ').next(), listed) {
                (Some("ok"), None) => played.push((true, line.to_owned())),
                (Some("ok"), Some(_)) => {
                    played.push((false, format!("{line}: it passes, so it is not to be listed")));
                }
                (Some("FAIL"), listed) => {
                    let is_excused = listed.is_some_and(|known| known.steps == steps.trim());
                    played.push((is_excused, line.to_owned()));
                }
                _ => {}
            }
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(played.len() > before, "{} was not played:\n{text}{told}", file.display());
    }
}
