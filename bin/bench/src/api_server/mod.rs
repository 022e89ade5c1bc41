//! The API server and its store under load: writes that are on the disk, reads, lists, watches; memory, and the start
//! with all that was written.

mod bare_loop;
mod client;
mod load;
mod mute;
mod watchers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use kit::{Installation, Options};
use serde_json::json;
use tokio::runtime::Runtime;

use self::bare_loop::BareLoop;
use self::client::Server;
use self::load::{Clients, Round};
use self::mute::Mute;
use crate::measure::pid;
use crate::process;
use crate::report::{Report, median};

/// Clients that write and read at the same time.
const CLIENTS: usize = 64;
/// Clients that list at the same time.
const LISTERS: usize = 2;
/// Objects in a namespace, and so in a list.
const LISTED: usize = 10_000;
/// Bytes in an object, beside its metadata.
const CONTENT: usize = 1024;
/// Clients that watch.
const WATCHERS: usize = 1000;
/// Changes that they are told of in a round.
const CHANGES: usize = 10;
/// Lists in a round.
const LISTS: usize = 8;
/// Time for what follows a write in the background.
const SETTLE: Duration = Duration::from_secs(10);

/// Measures with `objects` ConfigMaps, written, read and changed in `rounds` rounds.
pub(crate) fn under_load(report: &mut Report, objects: usize, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let installation = Installation::start(Options { nodes: 0, images: false, ..Options::default() });
    let rss = || process::rss_mib(pid(&installation)?).context("the control plane runs");
    std::thread::sleep(SETTLE);
    let idle = rss()?;
    report.add("API server and store, idle, RSS", "MiB", idle, Some(40.0));
    let server = Server::of(&installation)?;
    writes(report, &runtime, &installation, &server, objects, rounds)?;
    std::thread::sleep(SETTLE);
    let size = runtime.block_on(async {
        let path = format!("{}/{}", collection(0), name(0));
        Ok::<_, anyhow::Error>(server.connect().await?.ask(Method::GET, &path, Bytes::new()).await?.len())
    })?;
    report.add("a ConfigMap as JSON", "KiB", size as f64 / 1024.0, None);
    let per_object = |rss: f64| (rss - idle) * f64::from(1 << 20) / objects as f64 / size as f64;
    let full = rss()?;
    report.add(&format!("API server and store, {objects} ConfigMaps written, RSS"), "MiB", full, None);
    report.add("memory per object against its JSON, written", "ratio", per_object(full), Some(1.5));
    reads(report, &runtime, &server, objects, rounds)?;
    let (mut ready, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        installation.kill();
        let begun = Instant::now();
        installation.up();
        ready.push(begun.elapsed().as_secs_f64());
        std::thread::sleep(SETTLE);
        loaded.push(rss()?);
    }
    report.add_samples(&format!("start to ready, {objects} ConfigMaps"), "s", &ready, Some(1.0));
    report.add_samples(
        &format!("API server and store, {objects} ConfigMaps loaded, RSS"),
        "MiB",
        &loaded,
        None,
    );
    let ratio = per_object(median(&loaded));
    report.add("memory per object against its JSON, loaded", "ratio", ratio, Some(1.5));
    Ok(())
}

/// Creates all objects in rounds, each followed by the bare loop with the same rows, and by the same requests to a server
/// that does nothing.
fn writes(
    report: &mut Report,
    runtime: &Runtime,
    installation: &Installation,
    server: &Server,
    objects: usize,
    rounds: usize,
) -> Result<()> {
    let mut clients = runtime.block_on(Clients::connect(server, CLIENTS))?;
    runtime.block_on(async {
        let mut client = server.connect().await?;
        for number in 0..objects.div_ceil(LISTED) {
            let namespace = json!({"metadata": {"name": namespace(number)}}).to_string().into();
            client.ask(Method::POST, "/api/v1/namespaces", namespace).await?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let data = installation.data_dir();
    let mut bare = BareLoop::new(&data.join("state.db"), &data.join("bare.db"))?;
    let (mut created, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mute = runtime.block_on(Mute::start(&client::authority(installation)?))?;
    let mut unheard = runtime.block_on(Clients::connect(&mute.server, CLIENTS))?;
    let (mut echoed, mut shares) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let numbers = objects * round / rounds..objects * (round + 1) / rounds;
        bare.skip()?;
        let round: Round = runtime.block_on(clients.round(numbers.clone(), Arc::new(create)))?;
        let rate = bare.follow(CLIENTS)?;
        ratios.push(round.rate / rate);
        rates.push(rate);
        let bare: Round = runtime.block_on(unheard.round(numbers, Arc::new(create)))?;
        shares.push(round.rate / bare.rate);
        echoed.push(bare.rate);
        created.push(round);
    }
    let name = format!("creates, durable, {CLIENTS} clients");
    load::report(report, &name, &created, Some(50.0));
    let peer = format!("the same rows to SQLite by {CLIENTS}, bare loop");
    report.add_samples(&peer, "1/s", &rates, None);
    report.add_share("creates against the bare loop (more is better)", &ratios, 0.5);
    report.add_samples("the same requests to a server that only sends them back", "1/s", &echoed, None);
    report.add_samples("creates against that server (more is better)", "ratio", &shares, None);
    Ok(())
}

/// Reads, changes, lists and watches what is there.
fn reads(
    report: &mut Report,
    runtime: &Runtime,
    server: &Server,
    objects: usize,
    rounds: usize,
) -> Result<()> {
    let mut clients = runtime.block_on(Clients::connect(server, CLIENTS))?;
    let mut few = runtime.block_on(Clients::connect(server, LISTERS))?;
    let (mut got, mut changed, mut listed, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut take = |round: usize| {
        let numbers = objects * round / rounds..objects * (round + 1) / rounds;
        let some = numbers.start..numbers.start + numbers.len().min(LISTED / 2);
        runtime.block_on(async {
            let get = move |number| (Method::GET, path(scattered(number, objects)), Bytes::new());
            got.push(clients.round(numbers, Arc::new(get)).await?);
            changed
                .push(clients.round(some, Arc::new(move |number| update(scattered(number, objects)))).await?);
            let list =
                move |number: usize| (Method::GET, collection(number % 2 * LISTED % objects), Bytes::new());
            listed.push(few.round(0..LISTS, Arc::new(list)).await?);
            let at = format!("{}?watch=1&resourceVersion=0&sendInitialEvents=false", collection(0));
            let at = format!("{at}&resourceVersionMatch=NotOlderThan");
            told.push(
                watchers::fan_out(server, &at, WATCHERS, CHANGES, |change| update_to(0, change)).await?,
            );
            Ok::<_, anyhow::Error>(())
        })
    };
    (0..rounds).try_for_each(&mut take)?;
    load::report(report, &format!("gets, {CLIENTS} clients"), &got, None);
    load::report(report, &format!("updates, durable, {CLIENTS} clients"), &changed, None);
    let number = objects.min(LISTED);
    load::report(report, &format!("lists of {number}, {LISTERS} clients"), &listed, None);
    load::report(report, &format!("changes told to {WATCHERS} watchers"), &told, None);
    Ok(())
}

/// Spreads numbers over all objects, each once where their count is not a multiple of this prime.
fn scattered(number: usize, objects: usize) -> usize {
    number * 7919 % objects
}

fn namespace(number: usize) -> String {
    format!("bench-{number}")
}

fn collection(object: usize) -> String {
    format!("/api/v1/namespaces/{}/configmaps", namespace(object / LISTED))
}

fn name(object: usize) -> String {
    format!("object-{object:06}")
}

fn path(object: usize) -> String {
    format!("{}/{}", collection(object), name(object))
}

fn config_map(object: usize, change: usize) -> Bytes {
    // Not all the same byte, and different in each.
    let seed = object.wrapping_mul(2_654_435_761).wrapping_add(change);
    let content: String =
        (0..CONTENT).map(|at| char::from(b'a' + (seed.wrapping_mul(at + 1) >> 7) as u8 % 26)).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name(object)}, "data": {"content": content}})
        .to_string()
        .into()
}

fn create(object: usize) -> (Method, String, Bytes) {
    (Method::POST, collection(object), config_map(object, 0))
}

fn update(object: usize) -> (Method, String, Bytes) {
    update_to(object, object + 1)
}

fn update_to(object: usize, change: usize) -> (Method, String, Bytes) {
    (Method::PUT, path(object), config_map(object, change + 1))
}
