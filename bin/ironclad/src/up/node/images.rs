//! The kubelet's images come from the node's store.

use std::error::Error as _;
use std::path::Path;

use image::{Access, PullPolicy, Store};
use kubelet::images::{ImageError, Images, Pull, Space, Stored, Unpacked};

use crate::registries::Registries;

/// The store of this installation.
#[derive(Clone, Debug)]
pub(crate) struct NodeImages {
    pub(crate) store: Store,
    pub(crate) registries: Registries,
}

#[async_trait::async_trait]
impl Images for NodeImages {
    async fn is_here(&self, reference: &str, pull: &Pull) -> bool {
        // What is wrong is told by whoever tries.
        let Ok(access) = self.access(reference, pull) else { return false };
        let (reference, policy) = (reference.to_owned(), policy(pull));
        self.blocking(move |store| store.is_here(&reference, policy, &access)).await.unwrap_or(false)
    }

    async fn ensure(&self, reference: &str, pull: &Pull, link: &Path) -> Result<Unpacked, ImageError> {
        let access = self.access(reference, pull)?;
        let policy = policy(pull);
        let (image, instead) = self
            .store
            .pull_or_loaded(reference, policy, &access)
            .await
            .map_err(|error| explain_for(reference, policy, &error))?;
        let note = instead.map(|problem| {
            format!("The image {reference:?} that was loaded on this machine is used, because {problem}")
        });
        let (store, digest, link) = (self.store.clone(), image.digest.to_string(), link.to_owned());
        let directory = tokio::task::spawn_blocking(move || store.unpacked_for(&image, &link))
            .await
            .map_err(|_| ImageError::Pull(format!("unpacking {reference} broke off")))?
            .map_err(|error| explain_for(reference, policy, &error))?;
        Ok(Unpacked { directory, digest, note })
    }

    async fn stock(&self) -> Result<Vec<Stored>, ImageError> {
        let stored = |stored: image::Stored| Stored {
            reference: stored.image.reference,
            used: stored.used,
            pinned: stored.image.pinned,
        };
        let stock = self.blocking(Store::stock).await?;
        Ok(stock.into_iter().map(stored).collect())
    }

    async fn space(&self) -> Result<Space, ImageError> {
        let space = self.blocking(Store::space).await?;
        Ok(Space { capacity: space.capacity, available: space.available })
    }

    async fn remove(&self, reference: Option<&str>) -> Result<bool, ImageError> {
        let reference = reference.map(str::to_owned);
        let removed = self.blocking(move |store| store.make_room(reference.as_deref())).await?;
        Ok(removed.is_some())
    }
}

impl NodeImages {
    /// Does the disk's work on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, image::Error> + Send + 'static,
    ) -> Result<T, ImageError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(|_| ImageError::Pull("the work on the image store broke off".to_owned()))?
            .map_err(|error| explain(&error))
    }
}

impl NodeImages {
    /// Joins what this machine knows of the registry with what the Pod brings.
    fn access(&self, reference: &str, pull: &Pull) -> Result<Access, ImageError> {
        let access = self.registries.access(reference);
        let mut access = access.map_err(|error| ImageError::Pull(format!("{reference}: {error:#}")))?;
        for secret in &pull.secrets {
            let added = access.credentials.add_docker_config(&secret.document);
            added.map_err(|error| ImageError::Pull(format!("Secret {}: {error}", secret.name)))?;
        }
        Ok(access)
    }
}

fn policy(pull: &Pull) -> PullPolicy {
    match pull.policy {
        kubelet::images::PullPolicy::Always => PullPolicy::Always,
        kubelet::images::PullPolicy::IfNotPresent => PullPolicy::IfNotPresent,
        kubelet::images::PullPolicy::Never => PullPolicy::Never,
    }
}

/// Explains what happened to one image, and names it where the error does not.
fn explain_for(reference: &str, policy: PullPolicy, error: &image::Error) -> ImageError {
    let name = |text: String| {
        if text.contains(reference) { text } else { format!("image {reference}: {text}") }
    };
    match (error.own(), explain(error)) {
        (image::Error::Absent { .. }, ImageError::Pull(text)) if policy == PullPolicy::Never => {
            ImageError::Absent(name(text))
        }
        (_, ImageError::Pull(text)) => ImageError::Pull(name(text)),
        (_, explained) => explained,
    }
}

/// Keeps the whole story: what failed, and each cause below it.
fn explain(error: &image::Error) -> ImageError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text += &format!(": {below}");
        cause = below.source();
    }
    match error.own() {
        image::Error::Reference { .. } => {
            ImageError::InvalidName(text + "; write it as NAME:TAG or REGISTRY/NAME:TAG, in lower case")
        }
        _ => ImageError::Pull(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kubernetes has no word of its own for it, and who waits for a machine knows these.
    #[test]
    fn a_full_disk_is_an_image_that_cannot_be_pulled() {
        let full = image::Error::System {
            action: "write",
            path: "/images/blob".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        let reserved = image::Error::Space { path: "/images".into(), free: 1, reserve: 2 };
        for error in [reserved, full] {
            let explained = explain_for("a.example/b:1", PullPolicy::IfNotPresent, &error);
            assert_eq!(explained.reason(), "ErrImagePull", "{error}");
            assert!(explained.to_string().contains("a.example/b:1"), "{explained}");
        }
    }
}
