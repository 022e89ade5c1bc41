//! [`Kind`] for views of built-in types that several components read.

use plan::endpoints::PodObject;

use crate::{Kind, Resource, resources};

impl Kind for PodObject {
    const RESOURCE: Resource = resources::POD;

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    fn uid(&self) -> &str {
        &self.metadata.uid
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}
