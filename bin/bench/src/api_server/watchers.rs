//! One object that changes, and many who watch it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::Server;
use super::load::Round;

/// Watches on one connection; a server allows 250 streams.
const ON_A_CONNECTION: usize = 125;
/// Changes before the first that counts.
const WARM_UP: usize = 2;

/// Has `watchers` watch `path` while `change` is sent `changes` times, each when all have heard of the one before.
///
/// Times are from before a change is sent until a watcher has it whole; the rate is that of deliveries.
pub(super) async fn fan_out(
    server: &Server,
    path: &str,
    watchers: usize,
    changes: usize,
    change: impl Fn(usize) -> (Method, String, Bytes),
) -> Result<Round> {
    let heard = Arc::new(Barrier::new(watchers + 1));
    let mut tasks = JoinSet::new();
    let changes = changes + WARM_UP;
    for first in (0..watchers).step_by(ON_A_CONNECTION) {
        let mut connection = server.connect_for_streams().await?;
        for _ in first..watchers.min(first + ON_A_CONNECTION) {
            let mut body = connection.open(path).await?.into_body();
            let heard = Arc::clone(&heard);
            tasks.spawn(async move {
                let mut times = Vec::with_capacity(changes);
                for _ in 0..changes {
                    line(&mut body).await?;
                    times.push(Instant::now());
                    heard.wait().await;
                }
                Ok::<_, anyhow::Error>(times)
            });
        }
    }
    let mut writer = server.connect().await?;
    let mut sent = Vec::with_capacity(changes);
    for number in 0..changes {
        let (method, path, body) = change(number);
        sent.push(Instant::now());
        writer.ask(method, &path, body).await?;
        tokio::select! {
            // Once all have heard of the last change, watchers end.
            biased;
            _ = heard.wait() => {}
            Some(ended) = tasks.join_next() => {
                ended.context("a watcher broke off")?.context("a watch ended early")?;
            }
        }
    }
    let end = Instant::now();
    let mut times = Vec::with_capacity(watchers * changes);
    while let Some(ended) = tasks.join_next().await {
        let received = ended.context("a watcher broke off")??;
        let both = sent.iter().zip(received).skip(WARM_UP);
        times.extend(both.map(|(sent, received)| received.duration_since(*sent)));
    }
    Ok(Round::new(end - sent[WARM_UP], times))
}

/// Reads until an event is whole. Each is one line, and the next is sent only when all have this one.
async fn line(body: &mut Incoming) -> Result<()> {
    loop {
        let frame = body.frame().await.context("the watch ended")??;
        if frame.data_ref().is_some_and(|data| data.ends_with(b"\n")) {
            return Ok(());
        }
    }
}
