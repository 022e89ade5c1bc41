//! virt-api's admission as a plug-in of the embedded API server: what is a webhook in a cluster is a call here.

use std::sync::{Arc, OnceLock};

use apiserver::ApiServer;
use apiserver::admission::AdmissionPlugin;
use machinery::admission::{Request, Response};

use super::Effects;

/// The plug-in.
#[derive(Debug)]
pub(super) struct VirtApi {
    effects: Effects,
    /// Set once the server stands; until then there is no configuration to read.
    server: OnceLock<ApiServer>,
}

impl VirtApi {
    pub(super) fn new(effects: Effects) -> Self {
        Self { effects, server: OnceLock::new() }
    }

    /// Reads the installation's configuration from `server` from now on.
    pub(super) fn follow(self: &Arc<Self>, server: ApiServer) {
        // It is called once; a second server would be a second plug-in.
        drop(self.server.set(server));
    }
}

#[async_trait::async_trait]
impl AdmissionPlugin for VirtApi {
    fn name(&self) -> &'static str {
        "virt-api"
    }

    fn concerns(&self, group: &str, _resource: &str, _subresource: &str) -> bool {
        group == "kubevirt.io"
    }
}
