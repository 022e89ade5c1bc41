//! `ironclad down` is the machine's own shutdown, and `ironclad up` its next start.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, Processes, until};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn after_down_and_up_machines_are_what_their_strategies_say() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let always = machine("always", &container_disk(BLANK));
    installation.apply(&always);
    installation
        .apply(&machine("once", &container_disk(BLANK)).replace("runStrategy: Always", "runStrategy: Once"));
    let names = ["always", "once"];
    for name in names {
        until(&format!("{name} runs"), PATIENCE, || phase(&installation, name) == "Running");
    }
    let before = names.map(|name| uid(&installation, name).expect("an instance"));
    installation.ironclad(&["down", "--grace-period", "0"]).expect("ironclad down");
    for (name, uid) in names.iter().zip(&before) {
        assert!(Processes::of(uid).is_none(), "{name} is off");
    }
    installation.up();
    until("the machine that always runs does so again, as another instance", PATIENCE, || {
        let now = uid(&installation, "always");
        phase(&installation, "always") == "Running"
            && now.is_some_and(|now| {
                now != before[0] && Processes::of(&now).is_some_and(|all| all.hypervisor().is_some())
            })
    });
    until("the one that runs once has ended", PATIENCE, || {
        ["Succeeded", "Failed"].contains(&phase(&installation, "once").as_str())
    });
    assert_eq!(uid(&installation, "once").as_deref(), Some(before[1].as_str()));
    until("the ended Pods are not started again", PATIENCE, || {
        let pods = installation.list("pods");
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running");
        running.count() == 1
    });
}

fn phase(installation: &Installation, name: &str) -> String {
    let instance = installation.get("vmi", "default", name);
    instance.and_then(|instance| instance["status"]["phase"].as_str().map(str::to_owned)).unwrap_or_default()
}

fn uid(installation: &Installation, name: &str) -> Option<String> {
    Some(installation.get("vmi", "default", name)?["metadata"]["uid"].as_str()?.to_owned())
}
