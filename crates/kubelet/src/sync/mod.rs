//! Carries out what [`step`](crate::step) decides, one Pod at a time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Key, Kind, ObjectRef, Patch, Queue, Recorder, Select, Severity,
    Tasks, resources, work,
};
use tokio::sync::mpsc;

use crate::images::{ImageError, Pull, PullSecret};
use crate::plan::{PlanError, PodPlan, Reference, Sources, VolumeSource, references};
use crate::record::{End, Record};
use crate::runtime::{Jails, Life, Order, PrepareError, Runtime, RuntimeError};
use crate::step::{Action, Local, Trouble, step};
use crate::view::PodView;
use crate::{Images, KubeletConfig, claims, collection, local_volumes, node, status, volumes};

/// Pods that are worked on at the same time.
const PARALLEL: usize = 8;
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
            collection::keep_room(policy, &node, &*images, &recorder, &context, &pressure).await
        });
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
        watch,
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
    watch: mpsc::UnboundedSender<Record>,
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
                tracing::info!(pod = %key, ?code, "ended");
                record.end = Some(End { code, at: self.context.now() });
                self.store(uid.to_owned(), key.clone(), local.clone());
            }
            let pod = self.pods.get(key).filter(|pod| pod.uid == uid);
            let actions = step(self.context.now(), pod.as_deref(), &local);
            // Doing the same again would change nothing.
            if actions == last {
                break;
            }
            for action in &actions {
                match action {
                    Action::Wake(after) => return Ok(Some(*after)),
                    action => self.act(*action, key, uid, pod.as_deref()).await?,
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

    async fn act(&self, action: Action, key: &Key, uid: &str, pod: Option<&PodView>) -> Result<(), ApiError> {
        let mut local = self.local(uid);
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
                    Err(trouble) => {
                        local.trouble = Some(self.worsen(local.trouble.take(), trouble, key, uid));
                    }
                }
                self.store(uid.to_owned(), key.clone(), local);
            }
            Action::Terminate => {
                if let Some(record) = &mut local.record {
                    record.terminating_since = Some(self.context.now());
                    self.tell(key, uid, Severity::Normal, "Killing", "the Pod is being ended");
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
                    Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn tell(&self, key: &Key, uid: &str, severity: Severity, reason: &str, message: &str) {
        self.recorder.record(&ObjectRef::new(&resources::POD, key.clone(), uid), severity, reason, message);
    }

    /// Counts failures, and tells of new ones.
    fn worsen(&self, before: Option<Trouble>, mut trouble: Trouble, key: &Key, uid: &str) -> Trouble {
        let reason = match trouble.reason.as_str() {
            "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" => "Failed",
            "UnsupportedPod" => "UnsupportedPod",
            _ => "FailedCreatePodSandBox",
        };
        tracing::warn!(pod = %key, reason = trouble.reason, "cannot start: {}", trouble.message);
        self.tell(key, uid, Severity::Warning, reason, &trouble.message);
        trouble.attempts = before.map_or(1, |before| before.attempts + 1);
        if trouble.attempts > 1 && trouble.reason == "ErrImagePull" {
            trouble.reason = "ImagePullBackOff".into();
        }
        let pause = Trouble::pause(trouble.attempts);
        trouble.retry_at = trouble.retry_at.map(|now| now.checked_add(pause).unwrap_or(now));
        trouble
    }

    /// Starts a Pod. The inner error is the Pod's, the outer one the API server's.
    async fn start(&self, key: &Key, uid: &str) -> Result<Result<Record, Trouble>, ApiError> {
        let now = self.context.now();
        let trouble = |reason: &str, message: String, retry: bool| Trouble {
            reason: reason.to_owned(),
            message,
            attempts: 0,
            retry_at: retry.then_some(now),
        };
        let pod = self.api.get(key).await?;
        if pod.uid() != uid {
            return Ok(Err(trouble("Replaced", "another Pod of this name exists".into(), true)));
        }
        let sources = self.sources(&pod).await?;
        let plan = match PodPlan::of(&pod, &sources, &self.config.builtin) {
            Ok(plan) => plan,
            Err(error) => {
                let retry = matches!(error, PlanError::Missing(_));
                return Ok(Err(trouble(error.reason(), error.to_string(), retry)));
            }
        };
        let secrets = self.pull_secrets(&pod).await?;
        let images = match self.images(uid, &plan, secrets).await {
            Ok(images) => images,
            Err(error) => return Ok(Err(trouble(error.reason(), error.to_string(), true))),
        };
        let order = Order {
            uid: uid.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            plan,
            images,
            clock: Arc::clone(&self.context.clock),
        };
        Ok(self.runtime.start(order).await.map_err(|error| trouble(error.reason, error.message, true)))
    }

    async fn sources(&self, pod: &Pod) -> Result<Sources, ApiError> {
        let mut sources = Sources::default();
        for reference in references(pod) {
            match reference {
                Reference::ConfigMap(name) => {
                    let key = Key::new(pod.namespace(), &name);
                    if let Some(object) = Api::<ConfigMap>::new(&self.context.client).find(&key).await? {
                        sources.add_config_map(name, object);
                    }
                }
                Reference::Claim(name) => {
                    let key = Key::new(pod.namespace(), &name);
                    let found = claims::find(&self.context.client, &key, &self.config.local_volumes).await?;
                    sources.claims.extend(found.map(|found| (name, found)));
                }
                Reference::Secret(name) => {
                    let key = Key::new(pod.namespace(), &name);
                    if let Some(object) = Api::<Secret>::new(&self.context.client).find(&key).await? {
                        sources.add_secret(name, object);
                    }
                }
            }
        }
        Ok(sources)
    }

    /// Reads what registries may ask for. A Secret that is missing is told of; the image may need none.
    async fn pull_secrets(&self, pod: &Pod) -> Result<Vec<PullSecret>, ApiError> {
        let named = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let mut secrets = Vec::new();
        for reference in named.into_iter().flatten() {
            let key = Key::new(pod.namespace(), &reference.name);
            let found = Api::<Secret>::new(&self.context.client).find(&key).await?;
            let data = found.and_then(|secret| secret.data).unwrap_or_default();
            let data = data.into_iter().map(|(key, value)| (key, value.0)).collect();
            if let Some(secret) = PullSecret::of(&reference.name, data) {
                secrets.push(secret);
                continue;
            }
            let message = format!(
                "Secret {} is not there or holds no .dockerconfigjson: images are pulled without it; create it with \
                 `kubectl create secret docker-registry`",
                reference.name
            );
            let key = Key::new(pod.namespace(), pod.name());
            self.tell(&key, pod.uid(), Severity::Warning, "FailedToRetrieveImagePullSecret", &message);
        }
        Ok(secrets)
    }

    async fn images(
        &self,
        uid: &str,
        plan: &PodPlan,
        secrets: Vec<PullSecret>,
    ) -> Result<Vec<(String, std::path::PathBuf)>, ImageError> {
        let mut images = Vec::new();
        for volume in &plan.volumes {
            if let VolumeSource::Image { reference, policy } = &volume.source {
                let pull = Pull { policy: *policy, secrets: secrets.clone() };
                let link = volumes::path(&self.config.pods().join(uid), volume);
                let unpacked = self.images.ensure(reference, &pull, &link).await?;
                images.push((volume.name.clone(), unpacked.directory));
            }
        }
        Ok(images)
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
            // It is gone, or another one has its name: the watch will tell.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn note(key: &Key, result: Result<(), RuntimeError>) {
    if let Err(error) = result {
        tracing::warn!(pod = %key, %error, "the host refuses");
    }
}
