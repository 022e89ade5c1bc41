//! The kubelet's images come from the node's store.

use std::error::Error as _;

use image::{Access, PullPolicy, Store};
use kubelet::images::{ImageError, Images, Unpacked};

/// The store of this installation.
#[derive(Clone, Debug)]
pub(crate) struct NodeImages {
    pub(crate) store: Store,
    pub(crate) access: Access,
}

#[async_trait::async_trait]
impl Images for NodeImages {
    async fn ensure(
        &self,
        reference: &str,
        policy: kubelet::images::PullPolicy,
    ) -> Result<Unpacked, ImageError> {
        let policy = match policy {
            kubelet::images::PullPolicy::Always => PullPolicy::Always,
            kubelet::images::PullPolicy::IfNotPresent => PullPolicy::IfNotPresent,
            kubelet::images::PullPolicy::Never => PullPolicy::Never,
        };
        let image =
            self.store.pull(reference, policy, &self.access).await.map_err(|error| explain(&error))?;
        let (store, digest) = (self.store.clone(), image.digest.to_string());
        let directory = tokio::task::spawn_blocking(move || store.unpacked(&image))
            .await
            .map_err(|_| ImageError::Pull(format!("unpacking {reference} broke off")))?
            .map_err(|error| explain(&error))?;
        Ok(Unpacked { directory, digest })
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
    if let image::Error::Registry { .. } = error {
        text += "; correct the name or the way to its registry, or load the image by `ironclad image load ARCHIVE`";
    }
    match error {
        image::Error::Reference { .. } => ImageError::InvalidName(text),
        _ => ImageError::Pull(text),
    }
}
