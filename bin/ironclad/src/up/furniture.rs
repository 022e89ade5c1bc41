//! What an installation brings besides what every cluster has: a class of storage, and the object that configures it.
//! Both are made again when they are deleted while it runs.

use std::time::Duration;

use api::kubevirt::v1::KubeVirt;
use k8s_openapi::api::storage::v1::StorageClass;
use kube_ext::{
    Api, ApiError, Cache, Change, Client, Context, Kind as _, ObjectRef, Queue, Recorder, Select, Severity,
    Tasks, resources, work,
};

use super::installation;

/// After what time something that was deleted is made again. Who replaces an object by deleting and creating it is
/// quicker.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the class of storage. Whoever has chosen storage of his own keeps it.
pub(super) async fn storage(client: &Client) -> Result<(), ApiError> {
    let classes = Api::<StorageClass>::new(client);
    if classes.list(&Select::default()).await?.is_empty() {
        classes.create("", &installation::storage_class()).await?;
    }
    Ok(())
}

/// Makes the object that configures the installation, unless there is one; returns the one made.
pub(super) async fn installation(client: &Client, wanted: &KubeVirt) -> Result<Option<KubeVirt>, ApiError> {
    let api = Api::<KubeVirt>::new(client);
    if !api.list(&Select::default()).await?.is_empty() {
        return Ok(None);
    }
    api.create(api::names::NAMESPACE, wanted).await.map(Some)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Storage,
    Installation,
}

/// Makes again what is deleted, until `stopped` ends.
pub(super) async fn keep(context: Context, kubevirt: KubeVirt, stopped: impl Future<Output = ()> + Send) {
    let mut tasks = Tasks::new();
    let recorder = Recorder::start(&context, "ironclad", &mut tasks);
    let queue: Queue<Piece> = Queue::new(context.clock.clone());
    let gone = queue.clone();
    Cache::builder(Api::<StorageClass>::new(&context.client), |_| Some(()))
        .on_change(move |change| {
            if matches!(change, Change::Removed { .. }) {
                gone.add_after(Piece::Storage, PATIENCE);
            }
        })
        .start(&context, &mut tasks);
    let gone = queue.clone();
    Cache::builder(Api::<KubeVirt>::new(&context.client), |_| Some(()))
        .on_change(move |change| {
            if matches!(change, Change::Removed { .. }) {
                gone.add_after(Piece::Installation, PATIENCE);
            }
        })
        .start(&context, &mut tasks);
    // What went between the start and the first look at what is there.
    queue.add_after(Piece::Storage, PATIENCE);
    queue.add_after(Piece::Installation, PATIENCE);
    tasks.add(async move {
        work(queue, 1, |piece| {
            let (context, kubevirt, recorder) = (&context, &kubevirt, &recorder);
            async move {
                match piece {
                    Piece::Storage => storage(&context.client).await?,
                    Piece::Installation => match installation(&context.client, kubevirt).await {
                        Ok(None) => {}
                        Ok(Some(made)) => tell(recorder, &made),
                        // Its namespace went with it, and is made again by the server.
                        Err(error) if error.is_not_found() || error.is_refused() => {
                            return Ok(Some(PATIENCE));
                        }
                        Err(error) => return Err(error),
                    },
                }
                Ok(None)
            }
        })
        .await;
    });
    tasks.run(stopped).await;
}

/// Says what is lost.
fn tell(recorder: &Recorder, made: &KubeVirt) {
    let message = "the object was deleted while the installation runs; it is made again with the settings that an installation \
                   begins with: apply your own";
    tracing::warn!("KubeVirt: {message}");
    let object = ObjectRef::new(&resources::KUBEVIRT, made.key(), made.uid());
    recorder.record(&object, Severity::Warning, "SettingsReset", message);
}
