//! Prints every `CustomResourceDefinition` as one JSON list.

fn main() {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": api::crd::all()});
    println!("{list:#}");
}
