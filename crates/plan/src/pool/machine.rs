//! The machine that a pool's template describes: each has a number, and so have the names of what is its own.

use std::collections::BTreeMap;

use api::kubevirt::v1::{Firmware, VirtualMachine, VirtualMachineSpec, Volume};
use api::names::{finalizer, label};
use api::pool::v1beta1::{VirtualMachinePool, VirtualMachinePoolSpec};
use k8s_openapi::Resource as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

type Texts = BTreeMap<String, String>;

/// Returns what says that a pool controls something.
pub fn owner(pool: &VirtualMachinePool) -> OwnerReference {
    OwnerReference {
        api_version: VirtualMachinePool::API_VERSION.to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: VirtualMachinePool::KIND.to_owned(),
        name: pool.metadata.name.clone().unwrap_or_default(),
        uid: pool.metadata.uid.clone().unwrap_or_default(),
    }
}

/// Makes the machine `name` of a pool. Of the template's metadata only labels and annotations count.
pub fn machine(pool: &VirtualMachinePool, name: &str, index: usize, revision: &str) -> VirtualMachine {
    let template = &pool.spec.virtual_machine_template.metadata;
    let mut labels = template.labels.clone().unwrap_or_default();
    labels.insert(label::POOL_REVISION.to_owned(), revision.to_owned());
    VirtualMachine {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pool.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: template.annotations.clone(),
            finalizers: Some(vec![finalizer::POOL.to_owned()]),
            owner_references: Some(vec![owner(pool)]),
            ..ObjectMeta::default()
        },
        spec: spec(&pool.spec, index, revision),
        ..VirtualMachine::default()
    }
}

/// Makes a machine what the template says now. `before` is the template that it was made from, if that is known: what others
/// wrote into labels and annotations stays. So does what a guest knows its machine by.
pub fn updated(
    pool: &VirtualMachinePool,
    machine: &VirtualMachine,
    before: Option<&Value>,
    index: usize,
    revision: &str,
) -> VirtualMachine {
    let template = &pool.spec.virtual_machine_template.metadata;
    let gone = |field: &str| -> Vec<String> {
        let texts = before.and_then(|before| before.get("metadata")?.get(field)?.as_object());
        texts.into_iter().flat_map(|texts| texts.keys().cloned()).collect()
    };
    let mut updated = machine.clone();
    let meta = &mut updated.metadata;
    let labels = meta.labels.get_or_insert_default();
    replace(labels, &gone("labels"), template.labels.as_ref());
    labels.insert(label::POOL_REVISION.to_owned(), revision.to_owned());
    let annotations = meta.annotations.get_or_insert_default();
    replace(annotations, &gone("annotations"), template.annotations.as_ref());
    updated.spec = spec(&pool.spec, index, revision);
    keep_identity(&machine.spec, &mut updated.spec);
    updated
}

fn replace(texts: &mut Texts, gone: &[String], wanted: Option<&Texts>) {
    texts.retain(|name, _| !gone.contains(name));
    texts.extend(wanted.into_iter().flatten().map(|(name, text)| (name.clone(), text.clone())));
}

/// Keeps the identity that a guest sees: it is made with the machine.
fn keep_identity(before: &VirtualMachineSpec, now: &mut VirtualMachineSpec) {
    let Some(before) = before.template.spec.as_ref().and_then(|spec| spec.domain.firmware.as_ref()) else {
        return;
    };
    let Some(spec) = now.template.spec.as_mut().filter(|_| before.uuid.is_some() || before.serial.is_some())
    else {
        return;
    };
    let firmware = spec.domain.firmware.get_or_insert_with(Firmware::default);
    firmware.uuid = before.uuid.clone().or_else(|| firmware.uuid.take());
    firmware.serial = before.serial.clone().or_else(|| firmware.serial.take());
}

/// Returns the template's specification as the machine of this number has it.
fn spec(pool: &VirtualMachinePoolSpec, index: usize, revision: &str) -> VirtualMachineSpec {
    let mut spec = pool.virtual_machine_template.spec.clone();
    let labels = spec.template.metadata.labels.get_or_insert_default();
    labels.insert(label::POOL_REVISION.to_owned(), revision.to_owned());
    let mut disks = BTreeMap::new();
    for disk in &mut spec.data_volume_templates {
        let name = disk.metadata.name.clone().unwrap_or_default();
        let numbered = format!("{name}-{index}");
        disk.metadata.name = Some(numbered.clone());
        disks.insert(name, numbered);
    }
    let names = pool.name_generation.as_ref();
    let number = Number {
        index,
        disks,
        config_maps: names.and_then(|names| names.append_index_to_config_map_refs).unwrap_or(false),
        secrets: names.and_then(|names| names.append_index_to_secret_refs).unwrap_or(false),
    };
    let volumes = spec.template.spec.iter_mut().flat_map(|spec| &mut spec.volumes);
    volumes.for_each(|volume| number.write(volume));
    spec
}

/// A machine's number, and which names get it.
struct Number {
    index: usize,
    /// Disks of the machine's own, by their names in the template.
    disks: Texts,
    config_maps: bool,
    secrets: bool,
}

impl Number {
    fn write(&self, volume: &mut Volume) {
        let disks = [
            volume.persistent_volume_claim.as_mut().map(|claim| &mut claim.claim_name),
            volume.data_volume.as_mut().map(|filled| &mut filled.name),
        ];
        for name in disks.into_iter().flatten() {
            if let Some(numbered) = self.disks.get(name.as_str()) {
                name.clone_from(numbered);
            }
        }
        let config_map = volume.config_map.as_mut().and_then(|source| source.name.as_mut());
        self.append(config_map.filter(|_| self.config_maps));
        if self.secrets {
            self.append(volume.secret.as_mut().and_then(|source| source.secret_name.as_mut()));
            if let Some(source) = &mut volume.cloud_init_no_cloud {
                self.append(source.secret_ref.as_mut().map(|secret| &mut secret.name));
                self.append(source.network_data_secret_ref.as_mut().map(|secret| &mut secret.name));
            }
            if let Some(source) = &mut volume.cloud_init_config_drive {
                self.append(source.secret_ref.as_mut().map(|secret| &mut secret.name));
                self.append(source.network_data_secret_ref.as_mut().map(|secret| &mut secret.name));
            }
        }
    }

    fn append(&self, name: Option<&mut String>) {
        if let Some(name) = name {
            name.push_str(&format!("-{}", self.index));
        }
    }
}
