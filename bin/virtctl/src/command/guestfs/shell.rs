//! The shell in the Pod.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::AttachParams;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::pod::CONTAINER;
use crate::api::Api;
use crate::request::{Kind, Request};
use crate::say::say;
use crate::stdio;
use crate::terminal::Raw;

/// Between two looks at the Pod.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the Pod may take to run.
const PATIENCE: Duration = Duration::from_secs(500);

/// Waits for the Pod and connects the terminal to it, until the shell ends or the user has had enough.
pub(super) async fn run(api: &Api, pod: &str) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = wait_and_attach(api, pod) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn wait_and_attach(api: &Api, pod: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = api.read(&Request::object(&api.namespace, Kind::Pod, pod)?).await?;
        match found["status"]["phase"].as_str().unwrap_or_default() {
            "Running" => break,
            "" | "Pending" => {}
            phase => bail!("Pod is not in running state but got {phase}"),
        }
        if Instant::now() >= end {
            bail!("timeout in waiting for the containers to be started in pod {pod}");
        }
        for line in waiting(&found) {
            say!("{line}");
        }
        sleep(PAUSE).await;
    }
    attach(api, pod).await
}

/// Says what a Pod waits for.
fn waiting(pod: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let waiting = statuses.filter(|status| status["state"]["waiting"].is_object()).map(|status| {
        let why = &status["state"]["waiting"];
        format!(
            "Waiting for container {} still in pending, reason: {}, message: {} ",
            text(&status["name"]),
            text(&why["reason"]),
            text(&why["message"])
        )
    });
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let unplaced = conditions.filter(|told| told["type"] == "PodScheduled" && told["status"] == "False");
    waiting.chain(unplaced.map(|told| format!("Waiting for a node: {}", text(&told["message"])))).collect()
}

async fn attach(api: &Api, pod: &str) -> Result<()> {
    let pods: kube::Api<Pod> = kube::Api::namespaced(api.client(), &api.namespace);
    let parameters = AttachParams::interactive_tty().container(CONTAINER);
    let mut attached =
        pods.attach(pod, &parameters).await.map_err(|error| anyhow!("attaching to {pod}: {error}"))?;
    let mut typed = attached.stdin().context("the server gives no way in")?;
    let mut shown = attached.stdout().context("the server gives no way out")?;
    eprint!("If you don't see a command prompt, try pressing enter.\r\n");
    let _raw = Raw::enter().map_err(|error| anyhow!("make raw terminal failed: {error}"))?;
    let mut keys = stdio::input();
    let mut screen = stdio::output();
    let there = async {
        let mut buffer = [0; 1024];
        loop {
            match keys.read(&mut buffer).await? {
                // The shell may still have something to say.
                0 => std::future::pending().await,
                read => {
                    typed.write_all(&buffer[..read]).await?;
                    typed.flush().await?;
                }
            }
        }
    };
    let back = async { copy(&mut shown, &mut screen).await.map(drop) };
    let outcome: std::io::Result<()> = tokio::select! {
        outcome = there => outcome,
        outcome = back => outcome,
    };
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_waits_for_is_told() {
        let pod = json!({"status": {
            "containerStatuses": [{"name": "libguestfs", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}},
                                  {"name": "other", "state": {"running": {}}}],
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "no node has KVM"}]}});
        assert_eq!(
            waiting(&pod),
            [
                "Waiting for container libguestfs still in pending, reason: ErrImagePull, message: no ",
                "Waiting for a node: no node has KVM"
            ]
        );
    }
}
