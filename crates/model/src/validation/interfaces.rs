//! Rules of network interfaces.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::kubevirt::v1::{DHCPOptions, Interface, Network, VirtualMachineInstanceSpec};
use machinery::field::{Path, Problem};
use machinery::names;

use super::{Errors, Scope, disks};

const MODELS: [&str; 7] = ["virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139"];
/// Hardware address of the bridge between a Pod and its machine.
const BRIDGE_MAC: &str = "02:00:00:00:00:00";
const PRIVATE_OPTIONS: std::ops::RangeInclusive<i32> = 224..=254;

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, interface) in spec.domain.devices.interfaces.iter().enumerate() {
        let at = scope.at("domain.devices.interfaces").index(index);
        if !seen.insert(interface.name.as_str()) {
            errors.add(
                Problem::Duplicate,
                at.child("name"),
                interface.name.as_str(),
                "a network has one interface; give each interface a network of its own",
            );
        }
        if !is_name(&interface.name) {
            errors.invalid(
                at.child("name"),
                interface.name.as_str(),
                "an interface's name holds letters, digits, - and _",
            );
        }
        let network = spec.networks.iter().find(|network| network.name == interface.name);
        if network.is_none() {
            errors.invalid(
                at.child("name"),
                interface.name.as_str(),
                "no network has this name; add one to spec.networks",
            );
        }
        discontinued(scope, interface, index, errors);
        binding(scope, interface, network, &at, errors);
        device(interface, &at, errors);
        state(interface, network, &at, errors);
        ports(interface, &at, errors);
        if let Some(options) = &interface.dhcp_options {
            dhcp(scope, options, &at.child("dhcpOptions"), errors);
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Bindings that no release offers any more. Clients know them by their path in an instance.
fn discontinued(scope: &Scope<'_>, interface: &Interface, index: usize, errors: &mut Errors) {
    let at = Path::new("spec").child("domain.devices.interfaces").index(index);
    for (field, gate, set) in [
        ("slirp", "", interface.slirp.is_some()),
        ("macvtap", "Macvtap", interface.macvtap.is_some()),
        ("passt", "Passt", interface.passt.is_some()),
    ] {
        if set && scope.config.gate(gate) {
            errors.add(
                Problem::NotSupported,
                Path::root(),
                gate,
                format!(
                    "this feature gate no longer brings {field} back; remove it from the KubeVirt object"
                ),
            );
        }
        if set {
            errors.invalid(
                at.child(field),
                interface.name.as_str(),
                "this binding was discontinued; use masquerade, bridge, or a network binding plug-in",
            );
        }
    }
}

fn binding(
    scope: &Scope<'_>,
    interface: &Interface,
    network: Option<&Network>,
    at: &Path,
    errors: &mut Errors,
) {
    let core = interface.bridge.is_some()
        || interface.masquerade.is_some()
        || interface.sriov.is_some()
        || interface.passt_binding.is_some();
    if interface.binding.is_some() && core {
        errors.invalid(
            at.child("binding"),
            interface.name.as_str(),
            "an interface has a binding plug-in or a built-in binding; remove one",
        );
    }
    let on_pod = network.is_some_and(|network| network.pod.is_some());
    if interface.masquerade.is_some() && network.is_some() && !on_pod {
        errors.invalid(
            at.child("name"),
            interface.name.as_str(),
            "masquerade stands on the Pod's network; use bridge here",
        );
    }
    if interface.bridge.is_some() && on_pod && !scope.config.permit_bridge_on_pod_network {
        errors.invalid(
            at.child("name"),
            interface.name.as_str(),
            "bridge on the Pod's network is switched off (permitBridgeInterfaceOnPodNetwork); use masquerade",
        );
    }
    if interface.passt_binding.is_some() {
        if !scope.config.gate("PasstBinding") {
            errors.gate(at.child("name"), interface.name.as_str(), "PasstBinding");
        } else if network.is_some() && !on_pod {
            errors.invalid(
                at.child("name"),
                interface.name.as_str(),
                "passtBinding stands on the Pod's network",
            );
        }
    }
}

fn device(interface: &Interface, at: &Path, errors: &mut Errors) {
    if let Some(model) = interface.model.as_deref().filter(|model| !model.is_empty())
        && !MODELS.contains(&model)
    {
        errors.add(
            Problem::NotSupported,
            at.child("model"),
            model,
            format!("write one of {}", MODELS.join(", ")),
        );
    }
    if let Some(mac) = interface.mac_address.as_deref().filter(|mac| !mac.is_empty()) {
        let path = at.child("macAddress");
        match mac_bytes(mac) {
            None => errors.invalid(
                path,
                mac,
                "write six pairs of hexadecimal digits, for example 02:00:00:00:00:01",
            ),
            Some(length) if length > 6 => errors.invalid(path, mac, "a hardware address has six bytes"),
            Some(_)
                if interface.masquerade.is_some()
                    && mac.replace('-', ":").eq_ignore_ascii_case(BRIDGE_MAC) =>
            {
                errors.invalid(path, mac, "this address belongs to the bridge in the Pod; choose another");
            }
            Some(_) => {}
        }
    }
    if let Some(address) = interface.pci_address.as_deref().filter(|address| !address.is_empty())
        && !disks::is_pci_address(address)
    {
        errors.invalid(
            at.child("pciAddress"),
            address,
            "write DOMAIN:BUS:SLOT.FUNCTION, for example 0000:81:00.1",
        );
    }
    if interface.boot_order == Some(0) {
        errors.invalid(at.child("bootOrder"), 0, "the boot order starts at 1");
    }
}

/// Returns the number of bytes of a hardware address of 6, 8 or 20 bytes, as Ethernet, FireWire and
/// InfiniBand have them.
pub(super) fn mac_bytes(text: &str) -> Option<usize> {
    let separator = text.chars().find(|c| matches!(c, ':' | '-'))?;
    let mut length = 0;
    for part in text.split(separator) {
        if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        length += 1;
    }
    [6, 8, 20].contains(&length).then_some(length)
}

fn state(interface: &Interface, network: Option<&Network>, at: &Path, errors: &mut Errors) {
    let Some(state) = interface.state.as_deref().filter(|state| !state.is_empty()) else {
        return;
    };
    let path = at.child("state");
    match state {
        "up" | "down" if interface.sriov.is_some() => {
            errors.invalid(path, state, "the link of an SR-IOV interface cannot be switched");
        }
        "up" | "down" => {}
        "absent" => {
            let default = network.is_some_and(|network| {
                network.pod.is_some()
                    || network.multus.as_ref().is_some_and(|multus| multus.default == Some(true))
            });
            if default {
                errors.invalid(path, state, "the default network cannot be taken away");
            } else if interface.bridge.is_none() && interface.sriov.is_none() && interface.binding.is_none() {
                errors.invalid(path, state, "only bridge, SR-IOV and plug-in interfaces can be taken away");
            }
        }
        other => errors.invalid(path, other, "write one of up, down, absent"),
    }
}

fn ports(interface: &Interface, at: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, port) in interface.ports.iter().enumerate() {
        let at = at.child("ports").index(index);
        if !(1..=65535).contains(&port.port) {
            errors.invalid(at.clone(), port.port, "a port is a number from 1 to 65535");
        }
        if let Some(protocol) = port.protocol.as_deref().filter(|protocol| !protocol.is_empty())
            && !["TCP", "UDP"].contains(&protocol)
        {
            errors.invalid(at.child("protocol"), protocol, "write TCP or UDP");
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            if !seen.insert(name) {
                errors.add(Problem::Duplicate, at.child("name"), name, "another port has this name");
            }
            if !names::dns_label(name).is_empty() {
                errors.invalid(
                    at.child("name"),
                    name,
                    "a port's name holds lower-case letters, digits and -",
                );
            }
        }
    }
}

fn dhcp(scope: &Scope<'_>, options: &DHCPOptions, at: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for option in &options.private_options {
        if !PRIVATE_OPTIONS.contains(&option.option) {
            errors.invalid(
                scope.path.clone(),
                option.option,
                "a private DHCP option has a number from 224 to 254",
            );
        } else if !seen.insert(option.option) {
            errors.invalid(scope.path.clone(), option.option, "this private DHCP option is given twice");
        }
    }
    for (index, server) in options.ntp_servers.iter().enumerate() {
        if server.parse::<Ipv4Addr>().is_err() {
            errors.invalid(at.child("ntpServers").index(index), server.as_str(), "write an IPv4 address");
        }
    }
}
