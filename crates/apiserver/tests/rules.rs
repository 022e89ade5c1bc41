//! Objects of built-in kinds, good ones and what rules say of changes that spoil them. The table is data: an object, and for each
//! case a merge patch on it and the causes that a refusal names, as a kube-apiserver names them.

mod common;

use common::Api;
use machinery::patch::merge;
use serde_json::Value;

const CASES: &str = include_str!("data/rules.yaml");

/// Fields and reasons of the causes of a refusal, in order, each once.
fn causes(refused: &Value) -> Vec<String> {
    let causes = refused["details"]["causes"].as_array().into_iter().flatten();
    let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    let told = |cause: &Value| {
        format!("{} {}", text(cause, "field"), text(cause, "reason").trim_start_matches("FieldValue"))
    };
    let mut causes: Vec<String> = causes.map(told).collect();
    causes.sort();
    causes.dedup();
    causes
}

fn expected(case: &Value) -> Vec<String> {
    let told = case["told"].as_array().into_iter().flatten();
    let mut told: Vec<String> = told.filter_map(|cause| cause.as_str().map(str::to_owned)).collect();
    told.sort();
    told
}

fn cases<'a>(kind: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    kind[list].as_array().into_iter().flatten()
}

#[tokio::test]
async fn good_objects_are_taken_and_spoilt_ones_told_apart() {
    let kinds: Vec<Value> = serde_saphyr::from_str(CASES).expect("the cases");
    let (mut judged, mut wrong) = (0, Vec::new());
    for kind in &kinds {
        let api = Api::start().await;
        let (path, good) = (kind["path"].as_str().expect("a path"), &kind["good"]);
        let dry = format!("{path}?dryRun=All");
        for case in cases(kind, "bad") {
            let object = merge::apply(good, &case["with"]).expect("a patch");
            let answer = api.post(&dry, object).await;
            judged += 1;
            let (told, expected) = (causes(&answer.body), expected(case));
            let status = if expected.is_empty() { 201 } else { 422 };
            if answer.status != status || told != expected {
                wrong.push(format!(
                    "{path} with {}: {} {told:?}\n  {}",
                    case["with"], answer.status, answer.body["message"]
                ));
            }
        }
        let made = api.post(path, good.clone()).await;
        if made.status != 201 {
            wrong.push(format!("{path}: {}", made.body));
            continue;
        }
        for field in cases(kind, "shown") {
            let pointer = field["at"].as_str().expect("a pointer");
            if made.body.pointer(pointer) != Some(&field["is"]) {
                wrong.push(format!("{path}: {pointer} is {:?}", made.body.pointer(pointer)));
            }
        }
        let one = format!("{path}/{}", made.body["metadata"]["name"].as_str().expect("a name"));
        // Changes are tried on the object as it was made; those that are `kept` stay for the next.
        for case in cases(kind, "changes") {
            let now = api.get(&one).await.expect(200);
            let changed = merge::apply(&now, &case["with"]).expect("a patch");
            let sub = case["sub"].as_str().map_or(String::new(), |sub| format!("/{sub}"));
            let dry = if case["kept"] == true { "" } else { "?dryRun=All" };
            let answer = api.put(&format!("{one}{sub}{dry}"), changed).await;
            judged += 1;
            let (told, expected) = (causes(&answer.body), expected(case));
            let status = if expected.is_empty() { 200 } else { 422 };
            if answer.status != status || told != expected {
                wrong.push(format!(
                    "{one}{sub} with {}: {} {told:?}\n  {}",
                    case["with"], answer.status, answer.body["message"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} are answered otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged > 130, "{judged}");
}
