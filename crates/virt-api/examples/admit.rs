//! Answers admission questions: reads an `AdmissionReview` request as JSON on each line, writes the object as it
//! would be stored, or the refusal. A `KubeVirt` object on a line configures what follows.

use std::sync::Arc;

use base64::Engine as _;
use effects::{SeededEntropy, SystemClock};
use machinery::admission::Request;
use serde_json::{Value, json};
use virt_api::{Admission, NoLookup};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let admission =
        Admission::new(Arc::new(NoLookup), Arc::new(SystemClock), Arc::new(SeededEntropy::new(1)));
    for line in std::io::stdin().lines() {
        let value: Value = serde_json::from_str(&line?)?;
        if value["kind"] == "KubeVirt" {
            admission.configure(&serde_json::from_value(value)?);
            continue;
        }
        let mut request: Request = serde_json::from_value(value)?;
        println!("{}", pollster(answer(&admission, &mut request))?);
    }
    Ok(())
}

async fn answer(admission: &Admission, request: &mut Request) -> Result<Value, Box<dyn std::error::Error>> {
    let mutated = admission.mutate(request).await;
    if !mutated.allowed {
        return Ok(json!({"status": mutated.status}));
    }
    if let Some(patch) = mutated.patch {
        let patch: Vec<Value> =
            serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(patch)?)?;
        for step in patch {
            let part = step["path"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
            request.object[part] = step["value"].clone();
        }
    }
    let judged = admission.validate(request).await;
    Ok(match judged.status {
        Some(status) => json!({"status": status}),
        None => json!({"object": request.object, "warnings": judged.warnings}),
    })
}

/// Runs a future that never waits.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
