//! Rules of networks.

use std::collections::BTreeSet;

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use machinery::field::Problem;

use super::{Errors, Scope};

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (index, network) in spec.networks.iter().enumerate() {
        let at = scope.at("networks").index(index);
        if !names.insert(network.name.as_str()) {
            errors.add(
                Problem::Duplicate,
                at.child("name"),
                network.name.as_str(),
                "another network has this name; networks need names of their own",
            );
        }
        match (network.pod.is_some(), &network.multus) {
            (true, None) => {}
            (false, Some(multus)) => {
                if multus.network_name.is_empty() {
                    errors.add(
                        Problem::Required,
                        at.clone(),
                        (),
                        "name the NetworkAttachmentDefinition in multus.networkName",
                    );
                }
            }
            (true, Some(_)) => {
                errors.add(Problem::Required, at.clone(), (), "a network is one of pod, multus; remove one");
            }
            (false, None) => {
                errors.add(Problem::Required, at.clone(), (), "say what network this is: pod or multus");
            }
        }
        if !spec.domain.devices.interfaces.iter().any(|interface| interface.name == network.name) {
            errors.add(
                Problem::Required,
                at.child("name"),
                network.name.as_str(),
                "no interface has this name; add one to domain.devices.interfaces",
            );
        }
    }
    let pods = spec.networks.iter().filter(|network| network.pod.is_some()).count();
    if pods > 1 {
        errors.add(
            Problem::Duplicate,
            scope.at("interfaces"),
            pods,
            "a machine has at most one interface on the Pod's network",
        );
    }
    let defaults = spec
        .networks
        .iter()
        .filter(|network| network.multus.as_ref().is_some_and(|multus| multus.default == Some(true)))
        .count();
    if defaults > 1 {
        errors.invalid(scope.at("networks"), defaults, "at most one network is the default");
    }
    if defaults > 0 && pods > 0 {
        errors.invalid(
            scope.at("networks"),
            (),
            "a default network takes the Pod network's place; remove one",
        );
    }
}
