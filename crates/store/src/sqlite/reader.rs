//! Reader connections: a few, opened when needed and kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open::{connect, failed};
use crate::{Error, Result};

/// How many reads run at the same time; reads are rare, as the watch cache answers most of them.
const READERS: usize = 2;
/// Page cache of one reader, in KiB.
const CACHE: i64 = 256;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Arc::default(), permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Runs `read` on a reader connection, off the async threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let closed = |detail: String| Error::Stopped { detail };
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|error| closed(error.to_string()))?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let job = move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => connect(&path, CACHE)?,
            };
            let answer = read(&connection).map_err(|source| failed(&path, doing, source))?;
            idle.lock().push(connection);
            Ok(answer)
        };
        tokio::task::spawn_blocking(job).await.map_err(|error| closed(error.to_string()))?
    }
}
