//! The API server killed in the middle of writes, again and again: what a client was told is there, and nothing is by half.

use std::time::Duration;

use e2e::requests::{Identity, Question, ask};
use kit::{Installation, until};

const WRITERS: usize = 3;
const WRITES: usize = 120;
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// After how many changes each round is ended.
const KILLED_AFTER: [u64; 4] = [1, 90, 8, 151];

/// The number of the latest change, as the server notes it before it answers.
fn latest(installation: &Installation) -> u64 {
    let note = std::fs::read_to_string(installation.data_dir().join("state.db.lock")).expect("the note");
    note.trim().parse().expect("a revision")
}

/// One writer's requests of a round: an object, then changes of it, each of two fields at once.
fn writes(round: usize, writer: usize) -> Vec<Question> {
    let name = format!("log-{round}-{writer}");
    let question = |method, path: String, body: serde_json::Value| Question {
        identity: Identity::Administrator,
        method,
        path,
        body: body.to_string(),
    };
    let content = |number: usize| serde_json::json!({"a": number.to_string(), "b": number.to_string()});
    let created = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content(0)});
    let changed = (1..WRITES).map(|number| {
        let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content(number)});
        question("PUT", format!("{CONFIG_MAPS}/{name}"), body)
    });
    std::iter::once(question("POST", CONFIG_MAPS.to_owned(), created)).chain(changed).collect()
}

#[test]
fn what_was_acknowledged_outlives_the_server() {
    let installation = e2e::control_plane();
    for (round, more) in KILLED_AFTER.into_iter().enumerate() {
        let last = latest(&installation) + more;
        // The last number of each writer that it was told is written.
        let told: Vec<Option<usize>> = std::thread::scope(|scope| {
            let writer = |writer| {
                let installation = &installation;
                scope.spawn(move || {
                    let answers = ask(installation, &writes(round, writer));
                    answers.iter().rposition(|answer| answer.code == 200 || answer.code == 201)
                })
            };
            let writers: Vec<_> = (0..WRITERS).map(writer).collect();
            until("enough is written", Duration::from_secs(180), || latest(&installation) >= last);
            installation.kill();
            writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
        });
        installation.up();
        for (writer, told) in told.into_iter().enumerate() {
            let found = installation.get("configmap", "default", &format!("log-{round}-{writer}"));
            let number = found.map(|object| {
                assert_eq!(object["data"]["a"], object["data"]["b"], "{object}");
                object["data"]["a"].as_str().expect("a number").parse::<usize>().expect("a number")
            });
            // The next one may have become durable without its answer getting out.
            let is_next = number == Some(told.map_or(0, |told| told + 1));
            assert!(
                number == told || is_next,
                "round {round}, writer {writer}: {told:?} was told, {number:?} is there"
            );
        }
    }
}
