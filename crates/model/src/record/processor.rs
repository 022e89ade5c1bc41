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

pub(super) fn cpu(domain: &DomainSpec, accelerator: Accelerator) -> Result<Cpu, RecordError> {
    let topology = crate::resources::topology(domain);
    let cpu = domain.cpu.as_ref();
    let mut features = Vec::new();
    for feature in cpu.map(|cpu| cpu.features.as_slice()).unwrap_or_default() {
        let enabled = match feature.policy.as_deref() {
            // `optional` asks for the feature where it can be had: hypervisors leave out what they cannot give.
            None | Some("" | "force" | "require" | "optional") => true,
            Some("disable" | "forbid") => false,
            Some(other) => {
                return Err(RecordError::field(
                    format!("spec.domain.cpu.features[{}].policy", feature.name),
                    other,
                    "write one of force, require, optional, disable, forbid",
                ));
            }
        };
        features.push(CpuFeature { name: feature.name.clone(), enabled });
    }
    Ok(Cpu {
        model: model(cpu.and_then(|cpu| cpu.model.as_deref()), accelerator).to_owned(),
        features,
        sockets: topology.sockets,
        cores: topology.cores,
        threads: topology.threads,
        max_sockets: cpu.and_then(|cpu| cpu.max_sockets).unwrap_or(topology.sockets).max(topology.sockets),
    })
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
