//! Starting a Pod: everything that it refers to is read, its images are fetched, and the runtime gets its order.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube_ext::{Api, ApiError, Key, Kind, Severity};

use super::Kubelet;
use crate::claims;
use crate::images::{ImageError, PullSecret};
use crate::plan::{PlanError, PodPlan, Reference, Sources, references};
use crate::record::Record;
use crate::runtime::Order;
use crate::step::Trouble;

/// The reason of a start that was given up because the Pod ends.
pub(super) const UNWANTED: &str = "Unwanted";
/// How often somebody who waits for a registry looks whether its Pod is still wanted.
const GLANCE: Duration = Duration::from_secs(1);

impl Kubelet {
    /// Counts failures, and tells of new ones.
    pub(super) fn worsen(
        &self,
        before: Option<Trouble>,
        mut trouble: Trouble,
        key: &Key,
        uid: &str,
    ) -> Trouble {
        let reason = match trouble.reason.as_str() {
            // Told where the image's name is known.
            "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" => None,
            "UnsupportedPod" => Some("UnsupportedPod"),
            _ => Some("FailedCreatePodSandBox"),
        };
        tracing::warn!(pod = %key, reason = trouble.reason, "cannot start: {}", trouble.message);
        if let Some(reason) = reason {
            self.tell(key, uid, Severity::Warning, reason, &trouble.message);
        }
        trouble.attempts = before.map_or(1, |before| before.attempts + 1);
        if trouble.attempts > 1 && trouble.reason == "ErrImagePull" {
            trouble.reason = "ImagePullBackOff".into();
        }
        // Counted from the end of the attempt: what fails slowly would else be due again before it was reported.
        let (now, pause) = (self.context.clock.elapsed(), Trouble::pause(trouble.attempts));
        trouble.retry_at = trouble.retry_at.map(|_| now.saturating_add(pause));
        trouble
    }

    /// Starts a Pod. The inner error is the Pod's, the outer one the API server's.
    pub(super) async fn start(&self, key: &Key, uid: &str) -> Result<Result<Record, Trouble>, ApiError> {
        let now = self.context.clock.elapsed();
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
        let (secrets, missing) = self.pull_secrets(&pod).await?;
        let fetched = tokio::select! {
            biased;
            fetched = self.images(key, uid, &plan, secrets) => fetched,
            () = self.unwanted(key, uid) => {
                return Ok(Err(trouble(UNWANTED, "the Pod is not wanted any more".into(), true)));
            }
        };
        let images = match fetched {
            Ok(images) => images,
            Err(error) => {
                // The registry's refusal alone would send people to look at the registry.
                let without = missing.iter().filter(|_| matches!(error, ImageError::Pull(_)));
                let message =
                    without.fold(error.to_string(), |message, secret| format!("{message}; {secret}"));
                return Ok(Err(trouble(error.reason(), message, true)));
            }
        };
        let order = Order {
            uid: uid.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            plan,
            images,
            clock: Arc::clone(&self.context.clock),
        };
        let _turn = self.starts.acquire().await;
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

    /// Reads what registries may ask for, and returns a sentence for each Secret that cannot be used. These are told of;
    /// the image may need none.
    async fn pull_secrets(&self, pod: &Pod) -> Result<(Vec<PullSecret>, Vec<String>), ApiError> {
        let named = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let (mut secrets, mut missing) = (Vec::new(), Vec::new());
        for reference in named.into_iter().flatten() {
            let key = Key::new(pod.namespace(), &reference.name);
            let found = Api::<Secret>::new(&self.context.client).find(&key).await?;
            let problem = if found.is_some() { "holds no .dockerconfigjson" } else { "not found" };
            let data = found.and_then(|secret| secret.data).unwrap_or_default();
            let data = data.into_iter().map(|(key, value)| (key, value.0)).collect();
            if let Some(secret) = PullSecret::of(&reference.name, data) {
                secrets.push(secret);
                continue;
            }
            let message = format!(
                "Secret {:?} {problem}: images are pulled without it; create it with `kubectl create secret docker-registry`",
                reference.name
            );
            let key = Key::new(pod.namespace(), pod.name());
            self.tell(&key, pod.uid(), Severity::Warning, "FailedToRetrieveImagePullSecret", &message);
            missing.push(message);
        }
        Ok((secrets, missing))
    }

    /// Waits until the Pod is deleted.
    async fn unwanted(&self, key: &Key, uid: &str) {
        while self.pods.get(key).is_some_and(|pod| pod.uid == uid && pod.grace.is_none()) {
            self.context.clock.sleep(GLANCE).await;
        }
    }
}
