//! The API server's way to the nodes of this process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use apiserver::Body;
use apiserver::node::{LogOptions, NodeProxy};
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::Timestamp;
use kubelet::logs::{self, LogError};
use machinery::status::Status;
use serde_json::Value;

/// Where the Pods of each node are, by node name.
#[derive(Debug, Default)]
pub(super) struct Nodes(RwLock<BTreeMap<String, PathBuf>>);

impl Nodes {
    /// Makes a node's Pods reachable.
    pub(super) fn add(&self, node: &str, pods: PathBuf) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), pods);
    }

    /// Where the Pods of all nodes are.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find(&self, node: &str) -> Option<PathBuf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }
}

#[async_trait::async_trait]
impl NodeProxy for Nodes {
    async fn logs(&self, pod: &Value, options: &LogOptions) -> apiserver::Result<Body> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let node = text("/spec/nodeName");
        let Some(pods) = self.find(node) else {
            let name = text("/metadata/name");
            let why = if node.is_empty() {
                "it has no node yet".to_owned()
            } else {
                format!("node {node} is not here")
            };
            return Err(Status::bad_request(format!("Pod {name} has no logs: {why}")).into());
        };
        let wanted = logs::LogOptions {
            container: options.container.clone(),
            follow: options.follow,
            previous: options.previous,
            tail_lines: options.tail_lines,
            limit_bytes: options.limit_bytes,
            since: since(options)?,
            timestamps: options.timestamps,
        };
        let stream = logs::read(pods, text("/metadata/uid"), wanted).await.map_err(refusal)?;
        let frames = stream.map_ok(hyper::body::Frame::data).map_err(Into::into);
        Ok(StreamBody::new(frames).boxed_unsync())
    }
}

fn since(options: &LogOptions) -> apiserver::Result<Option<Timestamp>> {
    if let Some(text) = &options.since_time {
        let time =
            text.parse().map_err(|error| Status::bad_request(format!("sinceTime {text:?}: {error}")))?;
        return Ok(Some(time));
    }
    let Some(seconds) = options.since_seconds else { return Ok(None) };
    let now = effects::Clock::now(&effects::SystemClock);
    Ok(now.checked_sub(std::time::Duration::from_secs(seconds)).ok())
}

fn refusal(error: LogError) -> Box<Status> {
    match error {
        LogError::Read { .. } => Status::internal(error).into(),
        _ => Status::bad_request(error.to_string()).into(),
    }
}
