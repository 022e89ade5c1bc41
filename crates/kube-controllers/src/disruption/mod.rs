//! Counts what PodDisruptionBudgets allow. Judgement: [`plan::disruption`].

mod wanted;

use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Change, Context, Key, Meta, ObjectRef, Patch, Queue, Recorder, Severity, Tasks,
    resources, work,
};
use machinery::selector::LabelSelector;
use plan::disruption::{self, Action, Bounds, Observed, Pod as Counted, Status, Wanted};
use plan::endpoints::Pod;
use serde::Deserialize;
use serde_json::{Value, json};

/// Who tells of it in Events.
const NAME: &str = "controllermanager";
/// How many budgets are worked on at the same time.
const PARALLEL: usize = 2;
/// How long after a change a budget is looked at, so that Pods that come together are counted together.
const PAUSE: Duration = Duration::from_millis(100);

/// A budget as it is read.
#[derive(Clone, Debug, Deserialize)]
struct View {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    selector: Value,
    #[serde(flatten)]
    bounds: Bounds,
}

kube_ext::view!(View => resources::POD_DISRUPTION_BUDGET);

/// What is kept of a budget.
#[derive(Clone, Debug, PartialEq)]
struct Budget {
    uid: String,
    generation: i64,
    selector: LabelSelector,
    bounds: Bounds,
    status: Status,
}

impl Budget {
    /// Nothing of one that goes, or whose selector cannot be read.
    fn of(View { metadata, spec, status }: View) -> Option<Self> {
        let selector = LabelSelector::from_object(&spec.selector).ok()?;
        (!metadata.is_deleting()).then(|| Self {
            uid: metadata.uid,
            generation: metadata.generation.unwrap_or_default(),
            selector,
            bounds: spec.bounds,
            status,
        })
    }

    fn selects(&self, pod: &Pod) -> bool {
        self.selector.matches_labels(|key| pod.labels.get(key).map(String::as_str))
    }
}

/// All budgets, and those that have to be looked at.
#[derive(Clone)]
pub(crate) struct Budgets {
    all: Cache<Budget>,
    queue: Queue,
}

impl Budgets {
    /// Follows the budgets.
    pub(crate) fn start(context: &Context, tasks: &mut Tasks) -> Self {
        let queue: Queue = Queue::new(context.clock.clone());
        let ready = queue.clone();
        let all = Cache::builder(Api::<View>::new(&context.client), Budget::of)
            .on_change(move |change| ready.add(change.key().clone()))
            .start(context, tasks);
        Self { all, queue }
    }

    /// Has the budgets of a Pod looked at, and those that it belonged to before.
    pub(crate) fn pod_changed(&self, change: &Change<Pod>) {
        for (key, budget) in self.all.in_namespace(&change.key().namespace) {
            if change.sides().any(|pod| budget.selects(pod)) {
                self.queue.add_after(key, PAUSE);
            }
        }
    }
}

struct Controller {
    context: Context,
    recorder: Recorder,
    budgets: Cache<Budget>,
    pods: Cache<Pod>,
    api: Api<View>,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(context: &Context, budgets: Budgets, pods: Cache<Pod>, tasks: &mut Tasks) {
    let controller = Arc::new(Controller {
        context: context.clone(),
        recorder: Recorder::start(context, NAME, tasks),
        budgets: budgets.all,
        pods,
        api: Api::new(&context.client),
    });
    tasks.add(async move {
        controller.budgets.synced().await;
        controller.pods.synced().await;
        work(budgets.queue, PARALLEL, |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((budget, revision)) = self.budgets.read(key) else { return Ok(None) };
        let pods: Vec<_> = self.pods.in_namespace(&key.namespace);
        let pods: Vec<_> = pods.into_iter().filter(|(_, pod)| budget.selects(pod)).collect();
        let wanted = if budget.bounds.are_relative() {
            wanted::of(&self.context, key, pods.iter().map(|(_, pod)| &**pod)).await?
        } else {
            Ok(Wanted::default())
        };
        let counted = |pod: &Pod| Counted {
            name: pod.name.clone(),
            ready: pod.ready && !pod.ended,
            deleting: pod.deleting,
        };
        let observed = Observed {
            name: key.name.clone(),
            generation: budget.generation,
            bounds: budget.bounds.clone(),
            status: budget.status.clone(),
            pods: pods.iter().map(|(_, pod)| counted(pod)).collect(),
            wanted,
        };
        let plan = disruption::step(&observed, self.context.now());
        for action in plan.actions {
            match action {
                Action::Report(change) => self.report(key, &revision, &change).await?,
                Action::Tell(notice) => {
                    let object = ObjectRef::new(self.api.resource(), key.clone(), budget.uid.clone());
                    let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
                    self.recorder.record(&object, severity, notice.reason, &notice.message);
                }
            }
        }
        Ok(plan.again.map(|again| again.after))
    }

    /// Writes the status, on the condition that no eviction has spent anything meanwhile.
    async fn report(&self, key: &Key, revision: &str, change: &Value) -> Result<(), ApiError> {
        let patch = json!({"metadata": {"resourceVersion": revision}, "status": change});
        match self.api.patch_status(key, &Patch::Merge(patch)).await {
            Ok(written) => {
                let revision = written.metadata.resource_version.clone();
                self.budgets.observe(key.clone(), &revision, Budget::of(written));
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
