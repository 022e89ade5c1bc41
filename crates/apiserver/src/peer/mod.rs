//! Programs beside the server that it asks on its way: webhooks of admission and of conversion.

pub(crate) mod call;
pub(crate) mod target;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;

use crate::ApiServer;

/// One peer: where it listens, and whom to trust about that.
#[derive(Debug)]
pub(crate) struct Peer {
    target: target::Target,
    authorities: Option<String>,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// Why a peer gave no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// It could not be reached in time.
    Unreached(String),
    /// It answered something else.
    Refused(String),
}

impl Peer {
    /// Reads a `clientConfig`.
    pub(crate) fn read(client: &Value) -> Self {
        let bundle = client["caBundle"].as_str().filter(|bundle| !bundle.is_empty());
        Self {
            target: target::Target::read(client),
            authorities: bundle.map(str::to_owned),
            tls: OnceLock::new(),
        }
    }

    /// Its address, for people.
    pub(crate) fn url(&self) -> String {
        self.target.url()
    }

    /// Sends `body`; returns the body of the answer. `seconds` is what the peer is told that it has, `limit` what it has.
    ///
    /// # Errors
    /// Says why there is no answer.
    pub(crate) async fn post(
        &self,
        server: &ApiServer,
        seconds: u64,
        limit: Duration,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Silence> {
        let called = tokio::time::timeout(limit, async {
            let tls =
                self.tls.get_or_init(|| call::configure(&call::Trust::of(self.authorities.as_deref()), None));
            let tls = tls.clone().map_err(Silence::Unreached)?;
            let addresses = self.target.addresses(server).map_err(Silence::Unreached)?;
            call::post(&self.target, &addresses, tls, seconds, body).await.map_err(|error| match error {
                call::Error::Connection(why) => Silence::Unreached(why),
                call::Error::Answer(why) => Silence::Refused(why),
            })
        });
        called.await.unwrap_or_else(|_| Err(Silence::Unreached("context deadline exceeded".to_owned())))
    }
}
