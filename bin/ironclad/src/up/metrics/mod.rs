//! `metrics.k8s.io`: what the Pods of this process's nodes use, as `kubectl top` and `virtctl top` ask for it.
//!
//! Processors and memory are those of a Pod's processes. A rate needs two looks: the first request for a Pod waits a second
//! for the other, later ones compare with the last. A node's use is that of its Pods.

mod answer;
mod rates;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apiserver::Body;
use apiserver::extension::{Extension, ServedVersion};
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_ext::{Api, ApiError, Context, Problem, Select};
use kubelet::record::Record;
use machinery::admission::UserInfo;
use machinery::status::Status;
use parking_lot::Mutex;

use self::answer::{Target, Used};
use self::rates::Rates;
use super::proxy::Nodes;
use crate::status::footprint;

/// The group.
const GROUP: &str = "metrics.k8s.io";
/// Its version.
const VERSION: &str = "v1beta1";
/// Between two looks, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// The group, once the server stands whose Pods it tells of.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    world: OnceLock<(Context, Arc<Nodes>)>,
    rates: Mutex<Rates>,
}

impl Metrics {
    /// Begins to answer.
    pub(super) fn serve(&self, context: Context, nodes: Arc<Nodes>) {
        // It is called once; a second server would have a group of its own.
        drop(self.world.set((context, nodes)));
    }

    async fn answer(&self, target: Option<Target>) -> apiserver::Result<Response<Body>> {
        let target = target.ok_or_else(|| Box::new(Status::no_such_path()))?;
        let starting = || Box::new(Status::unavailable("the server is starting; try again"));
        let (context, nodes) = self.world.get().ok_or_else(starting)?;
        let select = target.pods();
        let pods = Api::<Pod>::new(&context.client).list(&select).await.map_err(failed)?;
        let used = self.used(context, nodes, &pods).await;
        let now = context.clock.now();
        let shown = if target.is_of_nodes() {
            let all = Select { labels: target.labels().to_owned(), ..Select::default() };
            let known = Api::<Node>::new(&context.client).list(&all).await.map_err(failed)?;
            answer::nodes(&target, &known, &pods, &used, now)
        } else {
            answer::pods(&target, &pods, &used, now)
        };
        Ok(apiserver::body::json(StatusCode::OK, &shown?))
    }

    /// Measures Pods, by their UIDs. Those that run elsewhere, or not at all, are left out.
    async fn used(&self, context: &Context, nodes: &Nodes, pods: &[Pod]) -> BTreeMap<String, Used> {
        let wanted: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        let folders = nodes.folders();
        let mut used = BTreeMap::new();
        for attempt in 0..2 {
            let (wanted, folders) = (wanted.clone(), folders.clone());
            // Reading what processes hold takes the kernel some milliseconds each.
            let looked = tokio::task::spawn_blocking(move || look(&wanted, &folders)).await;
            let now = context.clock.elapsed();
            let mut missing = false;
            self.rates.lock().tidy(now);
            for (uid, seen) in looked.unwrap_or_default() {
                match self.rates.lock().see(&uid, seen.processor_time, now, PAUSE) {
                    Some((rate, window)) => {
                        used.insert(uid, Used { processors: rate, memory: seen.memory, window });
                    }
                    None => missing = true,
                }
            }
            if !missing || attempt > 0 {
                break;
            }
            context.clock.sleep(PAUSE).await;
        }
        used
    }
}

#[async_trait::async_trait]
impl Extension for Metrics {
    fn group(&self) -> &str {
        GROUP
    }

    fn versions(&self) -> Vec<ServedVersion> {
        vec![ServedVersion { version: VERSION.into(), resources: answer::resources() }]
    }

    async fn handle(&self, _: &UserInfo, request: Request<Body>) -> Response<Body> {
        let target = if request.method() == Method::GET { Target::parse(request.uri()) } else { None };
        self.answer(target).await.unwrap_or_else(|status| apiserver::body::refusal(&status))
    }
}

/// Says what came of a list that was asked for on the client's behalf: its own mistakes are told as such.
fn failed(error: ApiError) -> Box<Status> {
    Box::new(match error.problem {
        Problem::Invalid(why) => Status::bad_request(why),
        Problem::Busy(why) => Status::too_many_requests(why, 1),
        _ => Status::internal(error),
    })
}

/// What is seen of a Pod's processes at one moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Time that processors have spent on them so far.
    processor_time: Duration,
    /// Bytes.
    memory: u64,
}

/// Looks at the processes of Pods.
fn look(wanted: &[String], folders: &[std::path::PathBuf]) -> Vec<(String, Seen)> {
    let records = folders.iter().flat_map(|pods| {
        wanted.iter().filter_map(|uid| Some((uid, Record::load(pods, uid)?))).collect::<Vec<_>>()
    });
    let running = records.filter_map(|(uid, record)| {
        let process = record.process.filter(|_| record.end.is_none())?;
        // Its number may be another's by now; held, it cannot become so.
        let _held = process.open().ok()??;
        let memory = footprint::of(process.pid)?.saturating_mul(1024);
        let processor_time = footprint::processor_time(process.pid)?;
        Some((uid.clone(), Seen { processor_time, memory }))
    });
    running.collect()
}
