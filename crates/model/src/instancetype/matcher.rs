//! How a machine names its instance type and preference.

use std::collections::BTreeMap;

use api::kubevirt::v1::{InstancetypeStatusRef, VirtualMachine, Volume};
use machinery::field::{FieldError, Path, Problem};

/// Whether the named object belongs to the machine's namespace or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of all namespaces.
    Cluster,
    /// Of the machine's namespace.
    Namespace,
}

/// A name that a machine gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// `instancetype` or `preference`: the field of the machine.
    pub field: &'static str,
    /// Kind of the object, spelled out.
    pub kind: &'static str,
    /// Where the object is looked for.
    pub scope: Scope,
    /// Name of the object; empty while it is to be inferred.
    pub name: String,
    /// ControllerRevision to take instead of the object.
    pub revision: Option<String>,
    /// Volume that says the name.
    pub infer_from: Option<String>,
}

const INSTANCETYPES: [&str; 2] = ["VirtualMachineInstancetype", "VirtualMachineClusterInstancetype"];
const PREFERENCES: [&str; 2] = ["VirtualMachinePreference", "VirtualMachineClusterPreference"];

/// Returns how a machine names its instance type, if it does.
pub fn instancetype(vm: &VirtualMachine) -> Result<Option<Matcher>, Box<FieldError>> {
    let Some(own) = &vm.spec.instancetype else { return Ok(None) };
    let parts = (&own.name, &own.kind, &own.revision_name, &own.infer_from_volume);
    read("instancetype", INSTANCETYPES, parts).map(Some)
}

/// Returns how a machine names its preference, if it does.
pub fn preference(vm: &VirtualMachine) -> Result<Option<Matcher>, Box<FieldError>> {
    let Some(own) = &vm.spec.preference else { return Ok(None) };
    let parts = (&own.name, &own.kind, &own.revision_name, &own.infer_from_volume);
    read("preference", PREFERENCES, parts).map(Some)
}

impl Matcher {
    /// Returns the revision that a status holds on to, if it does for this name: of this kind, for an object of the
    /// namespace may be called as one of the cluster.
    pub fn held(&self, status: Option<&InstancetypeStatusRef>) -> Option<String> {
        let kinds = if self.field == "instancetype" { INSTANCETYPES } else { PREFERENCES };
        let held = status.filter(|held| held.name.as_deref() == Some(&self.name))?;
        let (_, scope) = resolve(kinds, held.kind.as_deref().unwrap_or_default())?;
        let revision = held.controller_revision_ref.as_ref().filter(|_| scope == self.scope)?;
        revision.name.clone()
    }
}

type Text = Option<String>;

fn read(
    field: &'static str,
    kinds: [&'static str; 2],
    (name, kind, revision, infer): (&Text, &Text, &Text, &Text),
) -> Result<Matcher, Box<FieldError>> {
    let given = |text: &Text| text.clone().filter(|text| !text.is_empty());
    let word = kind.as_deref().unwrap_or_default();
    let Some((kind, scope)) = resolve(kinds, word) else {
        let [namespaced, cluster] = kinds;
        return Err(Box::new(FieldError::new(
            Path::new(format!("spec.{field}.kind")),
            Problem::NotSupported,
            word.into(),
            format!("write {namespaced} or {cluster}"),
        )));
    };
    let (revision, infer_from) = (given(revision), given(infer));
    Ok(Matcher { field, kind, scope, name: given(name).unwrap_or_default(), revision, infer_from })
}

/// Returns the kind that a word means; none means the cluster's.
fn resolve([namespaced, cluster]: [&'static str; 2], word: &str) -> Option<(&'static str, Scope)> {
    if word.is_empty() || names(word, cluster) {
        Some((cluster, Scope::Cluster))
    } else {
        names(word, namespaced).then_some((namespaced, Scope::Namespace))
    }
}

/// Kinds may be written in any case, and as one or many.
fn names(word: &str, kind: &str) -> bool {
    let one = word.strip_suffix(['s', 'S']).unwrap_or(word);
    word.eq_ignore_ascii_case(kind) || one.eq_ignore_ascii_case(kind)
}

/// Where the name that a volume implies may be written: labels of these objects, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `PersistentVolumeClaim`.
    Claim(String),
}

/// Returns the objects whose labels may name what is to be inferred from a volume.
pub fn sources(vm: &VirtualMachine, matcher: &Matcher) -> Result<Source, Box<FieldError>> {
    let wanted = matcher.infer_from.as_deref().unwrap_or_default();
    let refuse = |why: String| {
        let at = Path::new(format!("spec.{}.inferFromVolume", matcher.field));
        Err(Box::new(FieldError::new(at, Problem::Invalid, wanted.into(), why)))
    };
    let volumes = vm.spec.template.spec.as_ref().map(|spec| spec.volumes.as_slice()).unwrap_or_default();
    let Some(volume) = volumes.iter().find(|volume| volume.name == wanted) else {
        return refuse("the template has no volume of this name".to_owned());
    };
    match claim(volume) {
        Some(claim) => Ok(Source::Claim(claim)),
        None => refuse("only a volume of a claim or DataVolume carries labels to infer from".to_owned()),
    }
}

/// A DataVolume's claim has its name.
fn claim(volume: &Volume) -> Option<String> {
    let claim = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
    claim.or_else(|| volume.data_volume.as_ref().map(|source| source.name.clone()))
}

/// Whether a machine whose volume implies nothing shall do without.
pub fn is_ignored(vm: &VirtualMachine, matcher: &Matcher) -> bool {
    let policy = if matcher.field == "instancetype" {
        vm.spec.instancetype.as_ref().and_then(|own| own.infer_from_volume_failure_policy.as_deref())
    } else {
        vm.spec.preference.as_ref().and_then(|own| own.infer_from_volume_failure_policy.as_deref())
    };
    policy == Some("Ignore")
}

/// Returns the name and kind that the labels of a volume's claim imply.
pub fn inferred(matcher: &Matcher, labels: &BTreeMap<String, String>) -> Option<(String, Option<String>)> {
    let label = format!("instancetype.kubevirt.io/default-{}", matcher.field);
    let name = labels.get(&label).filter(|name| !name.is_empty())?;
    Some((name.clone(), labels.get(&format!("{label}-kind")).cloned()))
}
