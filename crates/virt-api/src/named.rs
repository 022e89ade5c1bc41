//! What machines name: instance types and preferences, looked up, and names that their volumes imply.

use std::collections::BTreeMap;

use api::instancetype::v1beta1::{VirtualMachineInstancetypeSpec, VirtualMachinePreferenceSpec};
use api::kubevirt::v1::{InstancetypeStatusRef, VirtualMachine};
use machinery::field::{FieldError, Path, Problem};
use model::instancetype::{self, Matcher, Source, Specs};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Lookup;

/// What a machine names, as far as it exists.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) specs: Specs,
    /// What does not exist.
    pub(crate) missing: Vec<Matcher>,
}

/// Looks up what a machine of `namespace` names. What its status holds on to goes before what is there now.
pub(crate) async fn of(
    lookup: &dyn Lookup,
    namespace: &str,
    vm: &VirtualMachine,
) -> Result<Named, Box<FieldError>> {
    let status = vm.status.as_ref();
    let mut named = Named::default();
    if let Some(matcher) = instancetype::instancetype(vm)? {
        let held = status.and_then(|status| status.instancetype_ref.as_ref());
        let spec = find::<VirtualMachineInstancetypeSpec>(lookup, namespace, &matcher, held).await;
        named.specs.instancetype = spec.or_else(|| missing(&mut named.missing, matcher));
    }
    if let Some(matcher) = instancetype::preference(vm)? {
        let held = status.and_then(|status| status.preference_ref.as_ref());
        let spec = find::<VirtualMachinePreferenceSpec>(lookup, namespace, &matcher, held).await;
        named.specs.preference = spec.or_else(|| missing(&mut named.missing, matcher));
    }
    Ok(named)
}

fn missing<T>(all: &mut Vec<Matcher>, matcher: Matcher) -> Option<T> {
    all.push(matcher);
    None
}

async fn find<T: DeserializeOwned>(
    lookup: &dyn Lookup,
    namespace: &str,
    matcher: &Matcher,
    held: Option<&InstancetypeStatusRef>,
) -> Option<T> {
    let object = match matcher.revision.clone().or_else(|| matcher.held(held)) {
        Some(revision) => lookup.revision(namespace, &revision).await,
        None => lookup.named(namespace, matcher).await,
    }?;
    serde_json::from_value(object.get("spec").cloned().unwrap_or(Value::Null)).ok()
}

/// Replaces volumes to infer from by the names that their labels imply.
pub(crate) async fn infer(
    lookup: &dyn Lookup,
    namespace: &str,
    vm: &mut VirtualMachine,
) -> Result<(), Box<FieldError>> {
    if let Some(matcher) = instancetype::instancetype(vm)?.filter(|matcher| matcher.infer_from.is_some()) {
        match implied(lookup, namespace, vm, &matcher).await {
            Ok((name, kind)) => {
                let own = vm.spec.instancetype.get_or_insert_default();
                (own.name, own.kind) = (Some(name), kind.or_else(|| own.kind.take()));
                (own.infer_from_volume, own.infer_from_volume_failure_policy) = (None, None);
            }
            Err(_) if instancetype::is_ignored(vm, &matcher) => vm.spec.instancetype = None,
            Err(error) => return Err(error),
        }
    }
    if let Some(matcher) = instancetype::preference(vm)?.filter(|matcher| matcher.infer_from.is_some()) {
        match implied(lookup, namespace, vm, &matcher).await {
            Ok((name, kind)) => {
                let own = vm.spec.preference.get_or_insert_default();
                (own.name, own.kind) = (Some(name), kind.or_else(|| own.kind.take()));
                (own.infer_from_volume, own.infer_from_volume_failure_policy) = (None, None);
            }
            Err(_) if instancetype::is_ignored(vm, &matcher) => vm.spec.preference = None,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn implied(
    lookup: &dyn Lookup,
    namespace: &str,
    vm: &VirtualMachine,
    matcher: &Matcher,
) -> Result<(String, Option<String>), Box<FieldError>> {
    let Source::Claim(claim) = instancetype::sources(vm, matcher)?;
    let labels: Option<BTreeMap<String, String>> = lookup.claim_labels(namespace, &claim).await;
    let why = match labels {
        None => format!("its claim {claim} does not exist"),
        Some(labels) => match instancetype::inferred(matcher, &labels) {
            Some(found) => return Ok(found),
            None => format!(
                "its claim {claim} has no label instancetype.kubevirt.io/default-{}; add it, or give a name",
                matcher.field
            ),
        },
    };
    let path = Path::new(format!("spec.{}.inferFromVolume", matcher.field));
    let volume = matcher.infer_from.clone().unwrap_or_default();
    Err(Box::new(FieldError::new(path, Problem::Invalid, volume.into(), why)))
}

/// Tells of a name that leads nowhere, as a warning: what it names may be made later.
pub(crate) fn warning(matcher: &Matcher) -> String {
    let (what, name) = match &matcher.revision {
        Some(revision) => ("ControllerRevision", revision),
        None => (matcher.kind, &matcher.name),
    };
    format!(
        "ironclad: spec.{} names the {what} {name:?}, which does not exist: the machine starts once it does",
        matcher.field
    )
}
