//! The API of our kinds, beside storing them: admission, and what is done with machines.
//!
//! [`Admission`] answers the questions that an API server asks before it stores an object: what is filled in, refused,
//! and warned of. [`subresource::Subresources`] answers `subresources.kubevirt.io`: start, stop, consoles, and so on.
//! Embedded both are called in process; in a cluster the same answers go out through webhooks and as an aggregated API.
//! Deciding what machines mean is `model`'s; here objects are read, held to their schema, and answers are worded.

mod answer;
mod importer;
mod installation;
mod instance;
mod kinds;
mod lookup;
mod machine;
mod migration;
mod named;
mod schema;
pub mod subresource;

use std::sync::Arc;

use api::kubevirt::v1::KubeVirt;
use effects::{Clock, Entropy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::admission::{Operation, Request, Response};
use model::config::ClusterConfig;
use model::defaults::Fresh;
use parking_lot::RwLock;

pub use kinds::KINDS;
pub use lookup::{Lookup, NoLookup};

/// Answers admission questions about objects of our kinds, and about the end of a `KubeVirt` object's namespace.
#[derive(Debug)]
pub struct Admission {
    config: RwLock<Arc<ClusterConfig>>,
    lookup: Arc<dyn Lookup>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Admission {
    /// Makes the answerer, with the configuration of an empty `KubeVirt` object.
    pub fn new(lookup: Arc<dyn Lookup>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { config: RwLock::new(Arc::new(ClusterConfig::default())), lookup, clock, entropy }
    }

    /// Takes over the configuration of an installation; call whenever the `KubeVirt` object changes.
    pub fn configure(&self, kubevirt: &KubeVirt) {
        *self.config.write() = Arc::new(ClusterConfig::new(kubevirt));
    }

    /// Returns the configuration that answers follow now.
    pub fn config(&self) -> Arc<ClusterConfig> {
        Arc::clone(&self.config.read())
    }

    /// Returns whether questions about this resource are answered here at all.
    pub fn concerns(group: &str, resource: &str, subresource: &str) -> bool {
        match (group, resource) {
            ("kubevirt.io", "virtualmachines") => matches!(subresource, "" | "status"),
            ("kubevirt.io", "virtualmachineinstances" | "virtualmachineinstancemigrations" | "kubevirts")
            | ("", "namespaces") => subresource.is_empty(),
            _ => (kinds::concerns(group, resource) || importer::concerns(group)) && subresource.is_empty(),
        }
    }

    /// Fills in what an object leaves open.
    pub async fn mutate(&self, request: &Request) -> Response {
        if request.object.is_null() || !request.sub_resource.is_empty() {
            return Response::allow(request.uid.clone());
        }
        match request.resource.resource.as_str() {
            "virtualmachines" => machine::mutate(self, request).await,
            "virtualmachineinstances" => instance::mutate(self, request).await,
            "virtualmachineinstancemigrations" => migration::mutate(request),
            "virtualmachineclones" => kinds::mutate_clone(request),
            _ => Response::allow(request.uid.clone()),
        }
    }

    /// Refuses what cannot be.
    pub async fn validate(&self, request: &Request) -> Response {
        let resource = (request.resource.resource.as_str(), request.sub_resource.as_str());
        if request.operation == Operation::Delete {
            return match resource {
                ("kubevirts", "") => installation::validate_delete(self, request).await,
                ("cdis", "") => importer::validate_delete(self, request).await,
                ("namespaces", "") => installation::validate_delete_namespace(self, request).await,
                _ => Response::allow(request.uid.clone()),
            };
        }
        if request.object.is_null() {
            return Response::allow(request.uid.clone());
        }
        match resource {
            ("virtualmachines", "status") => machine::validate_status(request),
            ("virtualmachines", "") => machine::validate(self, request).await,
            ("virtualmachineinstances", "") => instance::validate(self, request),
            ("virtualmachineinstancemigrations", "") => migration::validate(self, request).await,
            ("kubevirts", "") => installation::validate(self, request).await,
            (_, "") if importer::concerns(&request.resource.group) => importer::validate(self, request).await,
            (_, "") => kinds::validate(self, request),
            _ => Response::allow(request.uid.clone()),
        }
    }

    fn lookup(&self) -> &dyn Lookup {
        &*self.lookup
    }

    fn fresh(&self) -> Fresh {
        Fresh { uuid: self.entropy.uuid(), serial: self.entropy.uuid(), now: Time(self.clock.now()) }
    }
}
