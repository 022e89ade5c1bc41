//! Carries out what [`step`](crate::step) decides, one Pod at a time.

mod pull;
mod start;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Pod;
use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Key, Kind, ObjectRef, Patch, Queue, Recorder, Select, Severity,
    Tasks, resources, work,
};
use tokio::sync::{Semaphore, mpsc};

use crate::probes::{Probes, Verdict};
use crate::record::{End, Record};
use crate::runtime::{Jails, Life, PrepareError, Runtime, RuntimeError};
use crate::step::{Action, Local, step};
use crate::view::{ContainerView, PodView};
use crate::{Images, KubeletConfig, collection, local_volumes, memory, node, status};

/// Pods that are worked on at the same time. Most of them wait for a registry, which costs nothing; the next Pod must not
/// wait for it, too.
const PARALLEL: usize = 256;
/// Jails that are made at the same time.
const STARTS: usize = 8;
/// Rounds of deciding and doing for one Pod before others get their turn.
const ROUNDS: usize = 6;

/// How long after a failed removal to try again.
const LEFTOVER_PAUSE: Duration = Duration::from_secs(5);

/// Runs the node's agent until `shutdown` ends. Pods go on running.
///
/// # Errors
/// When the host lacks what every Pod needs.
pub async fn run(
    config: KubeletConfig,
    context: Context,
    images: Arc<dyn Images>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), PrepareError> {
    let prepared = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || Jails::prepare(&config)).await
    };
    let jails = prepared.map_err(|error| PrepareError::Directory {
        path: config.root.display().to_string(),
        source: error.into(),
    })??;
    let (network, clock) = (jails.clone(), Arc::clone(&context.clock));
    let kubelet = run_with(config, context, images, Arc::new(jails), shutdown);
    // The network is looked after for as long as there is a kubelet.
    tokio::select! {
        () = kubelet => {}
        () = network.keep_network(&*clock) => {}
    }
    Ok(())
}

/// Runs the node's agent on a given runtime.
pub(crate) async fn run_with(
    config: KubeletConfig,
    context: Context,
    images: Arc<dyn Images>,
    runtime: Arc<dyn Runtime>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut tasks = Tasks::new();
    let recorder = Recorder::start(&context, "kubelet", &mut tasks);
    local_volumes::start(&config, &context, &recorder, &mut tasks);
    let queue = Queue::new(Arc::clone(&context.clock));
    let probes =
        Probes::new(context.clone(), recorder.clone(), queue.clone(), Arc::clone(&runtime), config.pods());
    let pods = {
        let queue = queue.clone();
        Cache::builder(Api::<Pod>::new(&context.client), |pod: Pod| Some(PodView::of(&pod)))
            .select(Select::fields(format!("spec.nodeName={}", config.node)))
            .on_change(move |change| queue.add(change.key().clone()))
            .start(&context, &mut tasks)
    };
    let (watch, watched) = mpsc::unbounded_channel();
    let pressure = node::Pressure::default();
    if let Some(policy) = config.image_space {
        let (images, recorder, context) = (Arc::clone(&images), recorder.clone(), context.clone());
        let (node, pressure) = (config.node.clone(), pressure.clone());
        tasks.add(async move {
            collection::keep_room(policy, &node, &*images, &recorder, &context, &pressure).await;
        });
    }
    {
        let (recorder, context) = (recorder.clone(), context.clone());
        let (node, pressure) = (config.node.clone(), pressure.clone());
        tasks.add(async move { memory::keep_watch(&node, &pressure, &recorder, &context).await });
    }
    let kubelet = Arc::new(Kubelet {
        config: config.clone(),
        context: context.clone(),
        api: Api::new(&context.client),
        images,
        runtime: Arc::clone(&runtime),
        recorder,
        pods,
        locals: Mutex::default(),
        probes,
        watch,
        starts: Semaphore::new(STARTS),
    });
    tasks.add(tell_ends(watched, runtime, queue.clone()));
    tasks.add({
        let kubelet = Arc::clone(&kubelet);
        async move {
            for record in kubelet.runtime.adopt().await {
                queue.add(record.key());
                kubelet.adopt(record);
            }
            // Without the whole list, a Pod that merely was not seen yet would be taken for deleted.
            kubelet.pods.synced().await;
            work(queue, PARALLEL, |key| {
                let kubelet = Arc::clone(&kubelet);
                async move { kubelet.reconcile(&key).await }
            })
            .await;
        }
    });
    let (logs, clock) = (config.pods(), Arc::clone(&context.clock));
    tasks.add(async move { crate::logs::bound::keep_bounded(&logs, &*clock).await });
    tasks.add(node::keep(config, context, pressure));
    tasks.run(shutdown).await;
}

/// Puts Pods whose first process has ended into the queue.
async fn tell_ends(mut started: mpsc::UnboundedReceiver<Record>, runtime: Arc<dyn Runtime>, queue: Queue) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            record = started.recv() => {
                let Some(record) = record else { return };
                let runtime = Arc::clone(&runtime);
                running.push(async move {
                    runtime.ended(&record).await;
                    record.key()
                });
            }
            Some(key) = running.next() => queue.add(key),
        }
    }
}

struct Kubelet {
    config: KubeletConfig,
    context: Context,
    api: Api<Pod>,
    images: Arc<dyn Images>,
    runtime: Arc<dyn Runtime>,
    recorder: Recorder,
    pods: Cache<PodView>,
    /// What this machine has, by UID: a Pod may have the name of one that is still ending.
    locals: Mutex<BTreeMap<String, (Key, Local)>>,
    probes: Probes,
    watch: mpsc::UnboundedSender<Record>,
    starts: Semaphore,
}

impl Kubelet {
    fn adopt(&self, record: Record) {
        // The receiver lives as long as the component.
        let _ = self.watch.send(record.clone());
        let (uid, key) = (record.uid.clone(), record.key());
        self.store(uid, key, Local { record: Some(record), ..Local::default() });
    }

    fn store(&self, uid: String, key: Key, local: Local) {
        self.locals.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, (key, local));
    }

    fn local(&self, uid: &str) -> Local {
        let locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        locals.get(uid).map(|(_, local)| local.clone()).unwrap_or_default()
    }

    fn drop_local(&self, uid: &str) {
        self.locals.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Lists the UIDs that this machine knows under `key`.
    fn known(&self, key: &Key) -> Vec<String> {
        let locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        locals.iter().filter(|(_, (other, _))| other == key).map(|(uid, _)| uid.clone()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let mut wake: Option<Duration> = None;
        let current = self.pods.get(key).map(|pod| pod.uid.clone());
        for uid in self.known(key).into_iter().chain(current) {
            if let Some(again) = self.settle(key, &uid).await? {
                wake = Some(wake.map_or(again, |wake| wake.min(again)));
            }
        }
        Ok(wake)
    }

    /// Decides and does, until nothing more can be done for one Pod now; says when to look again.
    async fn settle(&self, key: &Key, uid: &str) -> Result<Option<Duration>, ApiError> {
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let mut local = self.local(uid);
            if let Some(record) = &mut local.record
                && record.end.is_none()
                && let Life::Ended(code) = self.runtime.life(record).await
            {
                let starved = self.runtime.starved(record).await;
                tracing::info!(pod = %key, ?code, ?starved, "ended");
                record.end = Some(End { code, at: self.context.now(), starved });
                self.store(uid.to_owned(), key.clone(), local.clone());
            }
            let pod = self.pods.get(key).filter(|pod| pod.uid == uid);
            local.verdict = self.verdict(key, uid, pod.as_deref(), local.record.as_ref());
            let actions = step(self.context.clock.elapsed(), pod.as_deref(), &local);
            // Doing the same again would change nothing; a start is never given up for good.
            if actions == last && actions.contains(&Action::Start) {
                return Ok(Some(LEFTOVER_PAUSE));
            } else if actions == last {
                break;
            }
            for action in &actions {
                match action {
                    Action::Wake(after) => return Ok(Some(*after)),
                    action => self.act(*action, key, uid, pod.as_deref(), &local.verdict).await?,
                }
            }
            if matches!(actions.last(), None | Some(Action::Delete | Action::Forget)) {
                break;
            }
            last = actions;
        }
        // Something is left: its removal failed.
        let is_left = self.pods.get(key).is_none_or(|pod| pod.uid != uid)
            && self.known(key).iter().any(|known| known == uid);
        Ok(is_left.then_some(LEFTOVER_PAUSE))
    }

    /// Asks what the Pod's probes have found. They go on for as long as it runs and nobody ends it.
    fn verdict(&self, key: &Key, uid: &str, pod: Option<&PodView>, record: Option<&Record>) -> Verdict {
        let alive = record.filter(|record| record.end.is_none());
        let wanted = pod.filter(|pod| pod.grace.is_none() && !pod.probes.is_empty());
        if let (Some(record), Some(pod)) = (alive, wanted) {
            let known = pod.containers.first().and_then(|(name, _)| pod.status.containers.get(name));
            let ready = known == Some(&ContainerView::Running { ready: true });
            return self.probes.verdict(key, record, pod, ready);
        }
        self.probes.stop(uid);
        Verdict::default()
    }

    async fn act(
        &self,
        action: Action,
        key: &Key,
        uid: &str,
        pod: Option<&PodView>,
        verdict: &Verdict,
    ) -> Result<(), ApiError> {
        let mut local = self.local(uid);
        local.verdict = verdict.clone();
        match action {
            Action::Wake(_) => {}
            Action::Start => {
                match self.start(key, uid).await? {
                    Ok(record) => {
                        let address = record.address.map(|address| address.to_string()).unwrap_or_default();
                        tracing::info!(pod = %key, address, "started");
                        self.tell(key, uid, Severity::Normal, "Started", "the Pod's process was started");
                        self.adopt(record);
                        return Ok(());
                    }
                    // What comes next follows from the Pod's end.
                    Err(trouble) if trouble.reason == start::UNWANTED => {}
                    Err(trouble) => {
                        local.trouble = Some(self.worsen(local.trouble.take(), trouble, key, uid));
                    }
                }
                self.store(uid.to_owned(), key.clone(), local);
            }
            Action::Lose => {
                tracing::warn!(pod = %key, "it is known to run, and this node has nothing of it");
                local.record = Some(Record::lost(key, uid, self.context.now()));
                self.store(uid.to_owned(), key.clone(), local);
            }
            Action::Terminate => {
                local.asked_at = Some(self.context.clock.elapsed());
                if let Some(record) = &mut local.record {
                    record.terminating_since = Some(self.context.now());
                    let name = pod.and_then(|pod| pod.containers.first()).map_or("", |(name, _)| name);
                    let why = match verdict.dead {
                        Some(_) => format!("Container {name} failed liveness probe"),
                        None => "the Pod is being ended".to_owned(),
                    };
                    self.tell(key, uid, Severity::Normal, "Killing", &why);
                    let result = self.runtime.terminate(record).await;
                    note(key, result);
                }
                self.store(uid.to_owned(), key.clone(), local);
            }
            Action::Kill => {
                if let Some(record) = &local.record {
                    let result = self.runtime.kill(record).await;
                    note(key, result);
                }
                local.killed = true;
                self.store(uid.to_owned(), key.clone(), local);
            }
            Action::Release => {
                if let Some(record) = &local.record {
                    let result = self.runtime.release(record).await;
                    note(key, result);
                }
            }
            Action::Forget => {
                if let Err(error) = self.runtime.forget(uid).await {
                    tracing::warn!(pod = %key, %error, "something is left of the Pod");
                    self.tell(key, uid, Severity::Warning, "FailedKillPod", &error.message);
                } else {
                    self.drop_local(uid);
                }
            }
            Action::Report => {
                if let Some(pod) = pod {
                    self.report(key, pod, &local).await?;
                }
            }
            Action::Delete => {
                let how = Delete { grace_seconds: Some(0), ..Delete::only(uid) };
                match self.api.delete(key, &how).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn tell(&self, key: &Key, uid: &str, severity: Severity, reason: &str, message: &str) {
        self.recorder.record(&ObjectRef::new(&resources::POD, key.clone(), uid), severity, reason, message);
    }

    async fn report(&self, key: &Key, pod: &PodView, local: &Local) -> Result<(), ApiError> {
        let wanted = status::desired(pod, local);
        let host_ip = self.config.address.to_string();
        let patch = status::patch(self.context.now(), pod, &wanted, local.record.as_ref(), &host_ip);
        let Some(patch) = patch else { return Ok(()) };
        match self.api.patch_status(key, &Patch::Strategic(patch)).await {
            Ok(answer) => {
                let revision = answer.resource_version().to_owned();
                self.pods.observe(key.clone(), &revision, Some(PodView::of(&answer)));
                Ok(())
            }
            // It is gone: the watch will tell. That another one has its name, a conflict, the next look sees.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn note(key: &Key, result: Result<(), RuntimeError>) {
    if let Err(error) = result {
        tracing::warn!(pod = %key, %error, "the host refuses");
    }
}
