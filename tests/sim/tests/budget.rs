//! What a machine's life costs: API writes by virt-controller and the node's agent, all of them, in this order. A write more or
//! less shows here.

use std::time::Duration;

use apiserver::auth::identity;
use kube_ext::{Api, Key, PartialObject, Patch, resources};
use serde_json::{Value, json};
use sim::faults::Weather;
use sim::run::World;
use sim::user;

/// Time in which everything that is to be written is written.
const QUIET: Duration = Duration::from_secs(40);

/// Returns what was written of `journal`, as verb and kind: not the user, the scheduler, the kubelet and the node's signs of life.
/// Events are at the end, wherever they came between: several of one moment have no order.
fn ours(journal: &[String]) -> Vec<String> {
    let (mut writes, mut events) = (Vec::new(), Vec::new());
    for line in journal {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, who, verb, path, code] = words[..] else { continue };
        let of_the_agent = who == "node-a" && path.contains("/virtualmachineinstances/");
        if !(who == "virt" || of_the_agent) || !code.starts_with('2') {
            continue;
        }
        let parts: Vec<&str> = path.rsplit("/default/").next().unwrap_or_default().split('/').collect();
        let status = if parts.get(2) == Some(&"status") { "/status" } else { "" };
        let to = if parts[0] == "events" { &mut events } else { &mut writes };
        to.push(format!("{who}: {verb} {}{status}", parts[0]));
    }
    writes.append(&mut events);
    writes
}

#[test]
fn writes_of_a_start_a_restart_and_a_stop() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(5).await;
        let fair = Weather::default();
        let _running = (world.nodes(1, &fair), world.virt_controller(), world.kube_controllers());
        world.wait(Duration::from_secs(5)).await;
        let person = world.context("user", identity::administrator("user"), &fair);
        let machines = Api::<PartialObject>::of(&person.client, resources::VIRTUAL_MACHINE);
        let instances = Api::<PartialObject>::of(&person.client, resources::VIRTUAL_MACHINE_INSTANCE);
        let key = Key::new(user::NAMESPACE, "web");
        let mut seen = world.journal().lines().len();
        let mut written = |what: &str, expected: &[&str]| {
            let journal = world.journal().lines();
            let writes = ours(&journal[seen..]);
            assert_eq!(writes, expected, "{what}:\n{}", journal[seen..].join("\n"));
            seen = journal.len();
        };

        user::create(&person, "web", "Always").await.unwrap();
        world.wait(QUIET).await;
        // The budget for a start is six writes until the instance runs; two more tell of it, and Events follow.
        written(
            "a start",
            &[
                "virt: POST controllerrevisions",
                "virt: POST virtualmachineinstances",
                "virt: POST pods",
                "virt: PATCH virtualmachineinstances",
                "node-a: PATCH virtualmachineinstances",
                "virt: PATCH virtualmachines",
                "virt: PATCH virtualmachines/status",
                "virt: POST events",
                "virt: POST events",
            ],
        );

        let uid = instances.get(&key).await.unwrap().metadata.uid;
        let requests: Value = json!([{"action": "Stop", "uid": uid}, {"action": "Start"}]);
        let patch = Patch::Merge(json!({"status": {"stateChangeRequests": requests}}));
        machines.patch_status(&key, &patch).await.unwrap();
        world.wait(QUIET).await;
        written(
            "a restart",
            &[
                "virt: DELETE virtualmachineinstances",
                "virt: PATCH virtualmachines/status",
                "node-a: PATCH virtualmachineinstances",
                "virt: DELETE pods",
                "virt: PATCH virtualmachines/status",
                "virt: PATCH virtualmachineinstances",
                "virt: POST virtualmachineinstances",
                "virt: PATCH virtualmachines/status",
                "virt: POST pods",
                "virt: PATCH virtualmachineinstances",
                "node-a: PATCH virtualmachineinstances",
                "virt: PATCH virtualmachines/status",
                "virt: POST events",
                "virt: POST events",
                "virt: PATCH events",
            ],
        );

        machines.patch(&key, &Patch::Merge(json!({"spec": {"runStrategy": "Halted"}}))).await.unwrap();
        world.wait(QUIET).await;
        written(
            "a stop",
            &[
                "virt: DELETE virtualmachineinstances",
                "virt: PATCH virtualmachines/status",
                "node-a: PATCH virtualmachineinstances",
                "virt: DELETE pods",
                "virt: PATCH virtualmachines/status",
                "virt: PATCH virtualmachineinstances",
                "virt: PATCH virtualmachines/status",
                "virt: POST events",
            ],
        );
    });
}
