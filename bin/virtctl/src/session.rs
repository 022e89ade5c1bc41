//! One run of the program: who talks to which server.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::api::Api;
use crate::connection::Connection;

/// The connection, made when the first command needs it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    api: OnceCell<Arc<Api>>,
}

impl Session {
    /// Makes a session that is not connected yet.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, api: OnceCell::new() }
    }

    /// Returns the server.
    ///
    /// # Errors
    /// When flags and files do not say which server, or name files that cannot be used.
    pub(crate) async fn api(&self) -> Result<&Arc<Api>> {
        self.api
            .get_or_try_init(|| async {
                let place = self.connection.place().await?;
                Ok(Arc::new(Api::new(place, self.connection.request_timeout.0)?))
            })
            .await
    }

    /// Returns the server if it has refused something.
    pub(crate) fn refused_by(&self) -> Option<&Arc<Api>> {
        self.api.get().filter(|api| api.was_refused())
    }
}
