//! Virtual processors.

use api::kubevirt::v1::{DomainSpec, VirtualMachineInstanceSpec};
use wire::machine::{Accelerator, Architecture, Cpu, CpuFeature};

use super::{NodeFacts, RecordError};

pub(super) fn architecture(
    spec: &VirtualMachineInstanceSpec,
    facts: &NodeFacts,
) -> Result<Architecture, RecordError> {
    match spec.architecture.as_deref() {
        None | Some("") => Ok(facts.architecture),
        Some("amd64") => Ok(Architecture::Amd64),
        Some("arm64") => Ok(Architecture::Arm64),
        Some("riscv64") => Ok(Architecture::Riscv64),
        Some("s390x") => Ok(Architecture::S390x),
        Some(other) => {
            Err(RecordError::field("spec.architecture", other, "write one of amd64, arm64, riscv64, s390x"))
        }
    }
}

pub(super) fn cpu(domain: &DomainSpec, facts: &NodeFacts) -> Result<Cpu, RecordError> {
    let topology = crate::resources::topology(domain);
    let cpu = domain.cpu.as_ref();
    let mut features = Vec::new();
    for feature in cpu.map(|cpu| cpu.features.as_slice()).unwrap_or_default() {
        let Some(enabled) = policy(&feature.name, feature.policy.as_deref(), facts)? else {
            continue;
        };
        features.push(CpuFeature { name: feature.name.clone(), enabled });
    }
    Ok(Cpu {
        model: model(cpu.and_then(|cpu| cpu.model.as_deref()), facts.accelerator).to_owned(),
        features,
        sockets: topology.sockets,
        cores: topology.cores,
        threads: topology.threads,
        max_sockets: cpu.and_then(|cpu| cpu.max_sockets).unwrap_or(topology.sockets).max(topology.sockets),
    })
}

/// Returns whether a feature is to be on or off; nothing for one that is wished for and not to be had.
///
/// What a node can offer is known where the emulator runs guests; elsewhere the hardware decides when the machine starts.
fn policy(name: &str, policy: Option<&str>, facts: &NodeFacts) -> Result<Option<bool>, RecordError> {
    let same = |known: &String| known.replace('_', "-").eq_ignore_ascii_case(&name.replace('_', "-"));
    let offered = facts.cpu_features.as_ref().map(|known| known.iter().any(same));
    let refused = |value: &str, reason: &str| {
        Err(RecordError::field(format!("spec.domain.cpu.features[{name}].policy"), value, reason))
    };
    match policy {
        None | Some("" | "require") if offered == Some(false) => refused(
            "require",
            "this node's processors do not offer the feature; write optional, or remove it",
        ),
        None | Some("" | "require" | "force") => Ok(Some(true)),
        Some("optional") => Ok((offered != Some(false)).then_some(true)),
        Some("forbid") if offered == Some(true) => {
            refused("forbid", "this node's processors offer the feature; write disable to hide it")
        }
        Some("disable" | "forbid") => Ok(Some(false)),
        Some(other) => refused(other, "write one of force, require, optional, disable, forbid"),
    }
}

/// `host-model` and `host-passthrough` name what there is: the host's processor where the hardware runs the
/// guest, and everything that the emulator knows where it does not.
fn model(wanted: Option<&str>, accelerator: Accelerator) -> &str {
    match wanted {
        None | Some("" | "host-model" | "host-passthrough") => match accelerator {
            Accelerator::Kvm | Accelerator::Mshv => "host",
            Accelerator::Tcg => "max",
        },
        Some(named) => named,
    }
}
