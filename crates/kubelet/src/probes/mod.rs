//! Probes: a task for each probe of a Pod that runs, and what they found.
//!
//! A Pod without probes costs nothing. What was found is asked for whenever the Pod is decided on; news call for that.

mod ask;
mod http;
mod spec;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube_ext::{Context, Key, ObjectRef, Queue, Recorder, Severity, resources};
use tokio::task::JoinSet;

use self::ask::Answer;
pub use self::spec::{Kind, Probe, Question, of};
use self::tally::Tally;
use crate::record::Record;
use crate::runtime::Runtime;
use crate::view::PodView;

/// Reason of the Event that tells of a failed look.
const UNHEALTHY: &str = "Unhealthy";
/// How long the words for a problem that stays count before newer ones take their place.
const WORDS_LAST: Duration = Duration::from_secs(30);

/// What a Pod's probes have found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it cannot be used, if it cannot.
    pub unready: Option<String>,
    /// Why it must be ended, if it must.
    pub dead: Option<String>,
}

/// The probes of all Pods of a node.
pub(crate) struct Probes {
    context: Context,
    recorder: Recorder,
    queue: Queue,
    runtime: Arc<dyn Runtime>,
    /// Directory of the Pods' directories.
    pods: PathBuf,
    /// By the Pod's identity.
    watched: Mutex<BTreeMap<String, Watched>>,
}

/// A Pod whose probes are under way. They end with it.
struct Watched {
    verdict: Arc<Mutex<Verdict>>,
    /// Whether the machine stands still.
    paused: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Probes {
    pub(crate) fn new(
        context: Context,
        recorder: Recorder,
        queue: Queue,
        runtime: Arc<dyn Runtime>,
        pods: PathBuf,
    ) -> Self {
        Self { context, recorder, queue, runtime, pods, watched: Mutex::default() }
    }

    /// Looks after a Pod that runs; returns what was found so far. `ready` is what the API knows of it: a kubelet that
    /// came back has no reason to doubt it.
    pub(crate) fn verdict(&self, key: &Key, record: &Record, pod: &PodView, ready: bool) -> Verdict {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = watched.entry(record.uid.clone()).or_insert_with(|| self.begin(key, record, pod, ready));
        entry.paused.store(pod.paused, Ordering::Relaxed);
        entry.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops looking after a Pod.
    pub(crate) fn stop(&self, uid: &str) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn begin(&self, key: &Key, record: &Record, pod: &PodView, ready: bool) -> Watched {
        let waits = !ready && pod.probes.iter().any(|probe| probe.kind == Kind::Readiness);
        let unready = waits.then(|| "its readiness probe has not succeeded yet".to_owned());
        let verdict = Arc::new(Mutex::new(Verdict { unready, dead: None }));
        let paused = Arc::new(AtomicBool::new(pod.paused));
        let mut tasks = JoinSet::new();
        for probe in &pod.probes {
            let worker = Worker {
                probe: probe.clone(),
                record: record.clone(),
                pod: self.pods.join(&record.uid),
                object: ObjectRef::new(&resources::POD, key.clone(), &record.uid),
                verdict: Arc::clone(&verdict),
                paused: Arc::clone(&paused),
                context: self.context.clone(),
                recorder: self.recorder.clone(),
                queue: self.queue.clone(),
                runtime: Arc::clone(&self.runtime),
            };
            tasks.spawn(worker.run(probe.kind == Kind::Liveness || ready));
        }
        Watched { verdict, paused, _tasks: tasks }
    }
}

/// One probe of one Pod.
struct Worker {
    probe: Probe,
    record: Record,
    pod: PathBuf,
    object: ObjectRef,
    verdict: Arc<Mutex<Verdict>>,
    paused: Arc<AtomicBool>,
    context: Context,
    recorder: Recorder,
    queue: Queue,
    runtime: Arc<dyn Runtime>,
}

impl Worker {
    /// Looks until the Pod is dead, or nobody wants to know.
    async fn run(self, opinion: bool) {
        let clock = &self.context.clock;
        // How long it ran before this kubelet came; the wall clock is all that tells, and may have been set.
        let ran = self.context.now().duration_since(self.record.started_at);
        let ran = Duration::try_from(ran).unwrap_or(Duration::ZERO);
        clock.sleep(self.probe.delay.saturating_sub(ran)).await;
        let mut tally = Tally::new(opinion);
        let mut told = None;
        loop {
            let began = clock.elapsed();
            let paused = self.is_excused();
            match self.look().await {
                // Its end would cost what the guest has not written yet; it gets all its tries when it goes on.
                Answer::Bad(_) if paused || self.is_excused() => tally = Tally::new(opinion),
                Answer::Good => {
                    if tally.count(true, self.probe.successes, self.probe.failures) {
                        self.found(None, &mut told);
                    }
                }
                Answer::Bad(why) => {
                    let why = format!("{} probe failed: {why}", self.probe.kind.word());
                    self.recorder.record(&self.object, Severity::Warning, UNHEALTHY, &why);
                    if !tally.count(false, self.probe.successes, self.probe.failures) {
                        self.found(Some(why), &mut told);
                        if self.probe.kind == Kind::Liveness {
                            return;
                        }
                    }
                }
                Answer::Unable(why) => {
                    let why = format!("{} probe errored: {why}", self.probe.kind.word());
                    self.recorder.record(&self.object, Severity::Warning, UNHEALTHY, &why);
                }
            }
            let took = clock.elapsed().saturating_sub(began);
            clock.sleep(self.probe.period.saturating_sub(took)).await;
        }
    }

    /// Says whether nobody may be ended for silence: the machine stands still, by hand or for want of a disk.
    fn is_excused(&self) -> bool {
        self.probe.kind == Kind::Liveness && self.paused.load(Ordering::Relaxed)
    }

    async fn look(&self) -> Answer {
        let limit = self.probe.timeout;
        let answer = tokio::select! {
            answer = ask::ask(&self.probe.question, &self.record, &self.pod, &*self.runtime) => answer,
            () = self.context.clock.sleep(limit) => Answer::Bad(format!("no answer within {} s", limit.as_secs())),
        };
        answer.shown()
    }

    /// Notes what was found; what is new calls for a decision. Other words for a problem that stays are news only once the
    /// old ones are: a guest that says something else each time must not make a write of each look.
    fn found(&self, problem: Option<String>, told: &mut Option<(bool, Duration)>) {
        let now = self.context.clock.elapsed();
        let is_told =
            |(bad, at): (bool, Duration)| bad == problem.is_some() && now.saturating_sub(at) < WORDS_LAST;
        if told.is_some_and(is_told) {
            return;
        }
        *told = Some((problem.is_some(), now));
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match self.probe.kind {
            Kind::Readiness => &mut verdict.unready,
            Kind::Liveness => &mut verdict.dead,
        };
        if *known != problem {
            *known = problem;
            drop(verdict);
            self.queue.add(self.object.key.clone());
        }
    }
}
