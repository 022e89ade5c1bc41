//! What a start costs: API writes by the controllers and the agent, from the machine's creation to Running.

use std::time::Duration;

use apiserver::auth::identity;
use sim::faults::Weather;
use sim::run::World;
use sim::user;

/// The budget of `ARCHITECTURE.md`. Not counted: the user's create, the binding, the kubelet.
const BUDGET: usize = 6;

#[test]
fn writes_from_created_to_running() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let journal = runtime.block_on(async {
        let world = World::new(5).await;
        let fair = Weather::default();
        let _running = (world.nodes(1, &fair), world.virt_controller(), world.kube_controllers());
        world.wait(Duration::from_secs(5)).await;
        let person = world.context("user", identity::administrator("user"), &fair);
        user::create(&person, "web", "Always").await.unwrap();
        world.wait(Duration::from_secs(20)).await;
        world.journal().lines()
    });
    let created = journal.iter().position(|line| line.contains("user")).unwrap();
    let start = &journal[created + 1..];
    let ready =
        start.iter().rposition(|line| line.contains("virtualmachines/web/status")).expect("the machine runs");
    let ours = |line: &&String| {
        line.contains(" virt ") || (line.contains(" node-a ") && line.contains("virtualmachineinstances"))
    };
    let writes: Vec<&String> = start[..=ready].iter().filter(ours).collect();
    let text = start.join("\n");
    assert!(!writes.is_empty() && writes.len() <= BUDGET, "{} writes:\n{text}", writes.len());
    // What can wait comes later: the machine's finalizer, and Events.
    let later = start[ready + 1..].iter().filter(|line| line.contains(" virt ") && !line.contains("/events"));
    let later: Vec<&String> = later.collect();
    let finalizer = |line: &&String| {
        line.contains("PATCH /apis/kubevirt.io/v1/namespaces/default/virtualmachines/web 200")
    };
    assert!(later.len() <= 1 && later.iter().all(finalizer), "written after everything was said:\n{text}");
}
