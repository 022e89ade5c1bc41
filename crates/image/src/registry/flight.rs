//! Pulls of one image at the same time share one download: what it brings, and why it fails.
//!
//! A hundred machines that wait for one registry which does not answer would else wait for it one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use crate::digest::Digest;
use crate::error::Error;

/// The pulls of one reference.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// How many have begun.
    begun: AtomicU64,
    last: Mutex<Option<Failure>>,
}

/// A pull that failed.
#[derive(Debug)]
struct Failure {
    number: u64,
    login: Option<Digest>,
    error: Arc<Error>,
}

/// The turn of one who pulls.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// Whether another one pulled meanwhile.
    pub(super) waited: bool,
    number: u64,
    last: MutexGuard<'a, Option<Failure>>,
}

impl Flight {
    /// Waits until nobody else pulls. The error is that of a pull which ran meanwhile, with the same login.
    pub(super) async fn turn(&self, login: Option<Digest>) -> Result<Turn<'_>, Error> {
        let seen = self.begun.load(Ordering::SeqCst);
        let (waited, last) = match self.last.try_lock() {
            Ok(last) => (false, last),
            Err(_) => (true, self.last.lock().await),
        };
        let failed = last.as_ref().filter(|last| waited && last.number >= seen && last.login == login);
        if let Some(failure) = failed {
            return Err(Error::Shared(Arc::clone(&failure.error)));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Turn { waited, number, last })
    }
}

impl Turn<'_> {
    /// Leaves the reason to those who wait.
    pub(super) fn failed(mut self, login: Option<Digest>, error: Error) -> Error {
        let error = Arc::new(error);
        *self.last = Some(Failure { number: self.number, login, error: Arc::clone(&error) });
        Error::Shared(error)
    }
}
