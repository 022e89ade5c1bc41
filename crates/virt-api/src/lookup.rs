//! What answers need to know of other objects.

use std::collections::BTreeMap;

use api::kubevirt::v1::{VirtualMachineInstance, VirtualMachineInstancePreset};
use model::instancetype::Matcher;
use serde_json::Value;

/// Looks other objects up. Implemented over the API server's own store, or over a client.
#[async_trait::async_trait]
pub trait Lookup: Send + Sync + std::fmt::Debug {
    /// Returns an instance, if it exists.
    async fn instance(&self, namespace: &str, name: &str) -> Option<VirtualMachineInstance>;

    /// Returns the instance type or preference that a machine of the namespace names.
    async fn named(&self, _namespace: &str, _matcher: &Matcher) -> Option<Value> {
        None
    }

    /// Returns what a `ControllerRevision` holds.
    async fn revision(&self, _namespace: &str, _name: &str) -> Option<Value> {
        None
    }

    /// Returns the labels of a claim, if it exists.
    async fn claim_labels(&self, _namespace: &str, _name: &str) -> Option<BTreeMap<String, String>> {
        None
    }

    /// Returns the metadata of a `PersistentVolumeClaim` or `DataVolume`, if it exists.
    async fn volume(&self, _kind: &str, _namespace: &str, _name: &str) -> Option<Value> {
        None
    }

    /// Returns how many DataVolumes there are that no DataImportCron has made.
    async fn data_volumes(&self) -> usize {
        0
    }

    /// Returns the presets of a namespace; or a sentence that says why they cannot be told.
    async fn presets(&self, _namespace: &str) -> Result<Vec<VirtualMachineInstancePreset>, String> {
        Ok(Vec::new())
    }

    /// Returns whether a migration of the instance other than `except` is under way.
    async fn is_migrating(&self, namespace: &str, instance: &str, except: &str) -> bool;

    /// Returns whether a `KubeVirt` object other than `namespace`/`name` exists.
    async fn has_other_installation(&self, namespace: &str, name: &str) -> bool;

    /// Returns whether a `KubeVirt` object lies in the namespace.
    async fn has_installation(&self, namespace: &str) -> bool;

    /// Returns a kind of which there are objects that need an installation.
    async fn workload(&self) -> Option<&'static str>;
}

/// Knows of no other objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLookup;

#[async_trait::async_trait]
impl Lookup for NoLookup {
    async fn instance(&self, _namespace: &str, _name: &str) -> Option<VirtualMachineInstance> {
        None
    }

    async fn is_migrating(&self, _namespace: &str, _instance: &str, _except: &str) -> bool {
        false
    }

    async fn has_other_installation(&self, _namespace: &str, _name: &str) -> bool {
        false
    }

    async fn has_installation(&self, _namespace: &str) -> bool {
        false
    }

    async fn workload(&self) -> Option<&'static str> {
        None
    }
}
