//! What the group of storage serves.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::{Row, Rule};
use Rule::{All, Amount, AtLeast, Fixed, Holds, Kept, Name, Required, Unique, UniqueItems, Words};

pub(super) fn rows(plural: &str) -> &'static [Row] {
    match plural {
        "storageclasses" => CLASS,
        "csidrivers" => DRIVER,
        "csinodes" => NODE,
        "csistoragecapacities" => CAPACITY,
        "volumeattachments" => ATTACHMENT,
        "volumeattributesclasses" => ATTRIBUTES,
        _ => &[],
    }
}

/// A name whose case does not matter.
fn lower_case(text: &str) -> Vec<String> {
    names::qualified_name(&text.to_lowercase())
}

pub(super) fn driver_name(text: &str) -> Vec<String> {
    if text.len() > names::LABEL_MAX {
        return vec![format!("must be no more than {} bytes", names::LABEL_MAX)];
    }
    names::dns_subdomain(&text.to_lowercase())
}

const CLASS: &[Row] = &[
    Row("provisioner", &[Required(""), Name(lower_case), Kept("updates to provisioner are forbidden.")]),
    Row("parameters?", &[Kept("updates to parameters are forbidden.")]),
    Row("reclaimPolicy?", &[Words(&["Delete", "Retain"]), Kept("updates to reclaimPolicy are forbidden.")]),
    Row("volumeBindingMode?", &[Words(&["Immediate", "WaitForFirstConsumer"]), Fixed]),
    Row("allowedTopologies[].matchLabelExpressions[].key", &[Name(names::label_key)]),
    Row("allowedTopologies[].matchLabelExpressions[].values", &[Required(""), UniqueItems("")]),
];

const DRIVER: &[Row] = &[
    Row("spec.attachRequired?", &[Fixed]),
    Row("spec.volumeLifecycleModes[]", &[Words(&["Ephemeral", "Persistent"])]),
    Row("spec.volumeLifecycleModes?", &[Fixed]),
    Row("spec.fsGroupPolicy?", &[Words(&["File", "None", "ReadWriteOnceWithFSType"])]),
    Row("spec.tokenRequests", &[Unique("audience")]),
    Row("spec.tokenRequests[].expirationSeconds?", &[AtLeast(600)]),
    Row("spec.nodeAllocatableUpdatePeriodSeconds?", &[AtLeast(10)]),
];

const NODE: &[Row] = &[
    Row("spec.drivers", &[Unique("name")]),
    Row("spec.drivers[].name", &[Required(""), Name(driver_name)]),
    Row("spec.drivers[].nodeID", &[Required("")]),
    Row("spec.drivers[].topologyKeys", &[UniqueItems("")]),
    Row("spec.drivers[].topologyKeys[]", &[Required(""), Name(names::qualified_name)]),
    Row("spec.drivers[].allocatable?.count?", &[AtLeast(0)]),
];

const CAPACITY: &[Row] = &[
    Row("storageClassName", &[Name(names::dns_subdomain), Fixed]),
    Row("nodeTopology?", &[super::shape::SELECTOR, Fixed]),
    Row("capacity?", &[Amount { strictly: false }]),
];

/// What is attached: a volume by its name, or one that only a Pod has.
fn source(source: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    match (&source["persistentVolumeName"], &source["inlineVolumeSpec"]) {
        (Value::Null, Value::Null) => {
            let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::required(path.clone(), detail));
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => {
            let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::forbidden(path.clone(), detail));
        }
    }
}

const ATTACHMENT: &[Row] = &[
    Row("spec.attacher", &[Required(""), Name(driver_name)]),
    Row("spec.nodeName", &[Name(names::dns_subdomain)]),
    Row("spec.source", &[Holds(source)]),
    Row("spec.source.inlineVolumeSpec?", &[All(super::persistent::INLINE)]),
    Row("spec", &[Fixed]),
];

const ATTRIBUTES: &[Row] = &[
    Row("driverName", &[Required(""), Name(driver_name), Kept("updates to driverName are forbidden.")]),
    Row(
        "parameters",
        &[Required("must contain at least one key/value pair"), Kept("updates to parameters are forbidden.")],
    ),
];
