//! Fetching the images of a Pod that starts, and telling of it in the events that Kubernetes' agent has.

use std::path::PathBuf;

use kube_ext::{Key, Severity};

use super::Kubelet;
use crate::images::{ImageError, Pull, PullSecret};
use crate::plan::{PodPlan, VolumeSource};
use crate::volumes;

impl Kubelet {
    /// Makes the images of a Pod's volumes available; returns where each volume's files are.
    pub(super) async fn images(
        &self,
        key: &Key,
        uid: &str,
        plan: &PodPlan,
        secrets: Vec<PullSecret>,
    ) -> Result<Vec<(String, PathBuf)>, ImageError> {
        let mut images = Vec::new();
        for volume in &plan.volumes {
            if let VolumeSource::Image { reference, policy } = &volume.source {
                let pull = Pull { policy: *policy, secrets: secrets.clone() };
                let link = volumes::path(&self.config.pods().join(uid), volume);
                let directory = self.image(key, uid, reference, &pull, &link).await?;
                images.push((volume.name.clone(), directory));
            }
        }
        Ok(images)
    }

    async fn image(
        &self,
        key: &Key,
        uid: &str,
        reference: &str,
        pull: &Pull,
        link: &std::path::Path,
    ) -> Result<PathBuf, ImageError> {
        let tell = |severity, reason: &str, message: &str| self.tell(key, uid, severity, reason, message);
        let is_here = self.images.is_here(reference, pull).await;
        if !is_here {
            tell(Severity::Normal, "Pulling", &format!("Pulling image {reference:?}"));
        }
        let began = self.context.now();
        match self.images.ensure(reference, pull, link).await {
            Ok(unpacked) => {
                let took = self.context.now().duration_since(began);
                match &unpacked.note {
                    Some(note) => tell(Severity::Warning, "Pulled", note),
                    None if is_here => {
                        let message = format!("Container image {reference:?} already present on machine");
                        tell(Severity::Normal, "Pulled", &message);
                    }
                    None => {
                        let seconds = took.as_millis() as f64 / 1000.0;
                        let message = format!("Successfully pulled image {reference:?} in {seconds:.3}s");
                        tell(Severity::Normal, "Pulled", &message);
                    }
                }
                Ok(unpacked.directory)
            }
            Err(error) => {
                tell(Severity::Warning, error.event(), &error.to_string());
                if matches!(error, ImageError::Pull(_)) {
                    tell(Severity::Normal, "BackOff", &format!("Back-off pulling image {reference:?}"));
                }
                Err(error)
            }
        }
    }
}
