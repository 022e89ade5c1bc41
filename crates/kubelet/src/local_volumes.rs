//! The end of local volumes: a directory of this node goes when its volume does.
//!
//! Volumes are made and deleted by `kube-controllers`; here is the part that only the node can do. A finalizer holds a
//! volume's object until the directory is gone, so that a crash in between leaves nothing behind. The directory
//! itself is made when a Pod first uses the volume ([`crate::volumes`]).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube_ext::{
    Api, ApiError, Cache, Context, Key, ObjectRef, Patch, Queue, Recorder, Severity, Tasks, resources, work,
};
use serde_json::json;

use crate::KubeletConfig;

/// Keeps a local volume until its node has removed the directory.
const FINALIZER: &str = "ironclad.io/local-volume";
/// Keeps a volume while a claim uses it.
const PROTECTION: &str = "kubernetes.io/pv-protection";
/// On a node: directory that holds its local volumes.
pub(crate) const ANNOTATION: &str = "ironclad.io/local-volumes";
/// After a failed removal.
const PAUSE: Duration = Duration::from_secs(10);

/// A volume whose directory is here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Volume {
    uid: String,
    /// Whether it is on its way out and nobody uses it.
    ends: bool,
    /// Whether its data go with it.
    delete: bool,
    finalizers: Vec<String>,
}

/// Adds the removal of this node's volumes to `tasks`.
pub(crate) fn start(config: &KubeletConfig, context: &Context, recorder: &Recorder, tasks: &mut Tasks) {
    let root = config.local_volumes.clone();
    let queue: Queue = Queue::new(context.clock.clone());
    let waker = queue.clone();
    let place = root.clone();
    let volumes =
        Cache::builder(Api::<PersistentVolume>::new(&context.client), move |object| project(&place, object))
            .on_change(move |change| waker.add(change.key().clone()))
            .start(context, tasks);
    let api = Api::<PersistentVolume>::new(&context.client);
    let recorder = recorder.clone();
    tasks.add(async move {
        volumes.synced().await;
        work(queue, 1, |key| {
            let (volumes, api, recorder, root) =
                (volumes.clone(), api.clone(), recorder.clone(), root.clone());
            async move { reconcile(&key, &volumes, &api, &recorder, &root).await }
        })
        .await;
    });
}

/// Keeps what matters of a volume of this node.
fn project(root: &Path, object: PersistentVolume) -> Option<Volume> {
    let metadata = object.metadata;
    let spec = object.spec?;
    let name = metadata.name?;
    let finalizers = metadata.finalizers.unwrap_or_default();
    let here = spec.local.is_some_and(|local| Path::new(&local.path) == directory(root, &name));
    let ours = here && finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    ours.then(|| {
        let used = finalizers.iter().any(|finalizer| finalizer == PROTECTION)
            || object.status.and_then(|status| status.phase).as_deref() == Some("Bound");
        Volume {
            uid: metadata.uid.unwrap_or_default(),
            ends: metadata.deletion_timestamp.is_some() && !used,
            delete: spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete"),
            finalizers,
        }
    })
}

/// Where the volume `name` has its files.
fn directory(root: &Path, name: &str) -> PathBuf {
    root.join(name)
}

async fn reconcile(
    key: &Key,
    volumes: &Cache<Volume>,
    api: &Api<PersistentVolume>,
    recorder: &Recorder,
    root: &Path,
) -> Result<Option<Duration>, ApiError> {
    let Some((volume, revision)) = volumes.read(key).filter(|(volume, _)| volume.ends) else {
        return Ok(None);
    };
    if volume.delete {
        let path = directory(root, &key.name);
        let removed = tokio::task::spawn_blocking(move || remove(&path)).await;
        if let Err(error) = removed.map_err(io::Error::from).flatten() {
            tracing::warn!(volume = key.name, %error, "cannot remove the volume's directory");
            let object = ObjectRef::new(&resources::PERSISTENT_VOLUME, key.clone(), &volume.uid);
            let message = format!("its directory cannot be removed: {error}");
            recorder.record(&object, Severity::Warning, "VolumeFailedDelete", &message);
            return Ok(Some(PAUSE));
        }
        tracing::info!(volume = key.name, "local volume removed");
    }
    let left: Vec<_> = volume.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    let patch = json!({"metadata": {"uid": volume.uid, "resourceVersion": revision, "finalizers": left}});
    match api.patch(key, &Patch::Merge(patch)).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(None),
    }
}

/// Removes a directory with what is in it. Links inside are removed, not followed.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(change: impl FnOnce(&mut serde_json::Value)) -> PersistentVolume {
        let mut object = json!({
            "metadata": {"name": "pvc-1", "uid": "u", "finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"local": {"path": "/volumes/pvc-1"}, "persistentVolumeReclaimPolicy": "Delete"},
            "status": {"phase": "Released"},
        });
        change(&mut object);
        serde_json::from_value(object).expect("a volume")
    }

    #[test]
    fn only_what_is_here_and_unused_goes() {
        let look = |object| project(Path::new("/volumes"), object);
        assert!(look(volume(|_| {})).is_some_and(|volume| volume.ends && volume.delete));
        assert!(look(volume(|object| object["status"]["phase"] = json!("Bound"))).is_some_and(|v| !v.ends));
        let protected = volume(|object| object["metadata"]["finalizers"] = json!([FINALIZER, PROTECTION]));
        assert!(look(protected).is_some_and(|volume| !volume.ends));
        let kept = volume(|object| object["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain"));
        assert!(look(kept).is_some_and(|volume| volume.ends && !volume.delete));
        for path in ["/etc", "/volumes", "/volumes/pvc-2", "/volumes/../etc", "/volumes/pvc-1/inner"] {
            assert_eq!(look(volume(|object| object["spec"]["local"]["path"] = json!(path))), None, "{path}");
        }
    }
}
