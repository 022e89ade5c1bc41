//! What is known of the machine's network interfaces, from all sources.

use std::collections::BTreeMap;

use hypervisor::GuestInterface;
use wire::launcher::v1::Interface;
use wire::machine::Nic;

/// Where an address is known from.
const DHCP: &str = "dhcp";
const AGENT: &str = "guest-agent";

/// Merges the record's interfaces, the addresses handed out (by hardware address) and the guest's own view.
pub(super) fn merge(
    nics: &[Nic],
    leases: &BTreeMap<String, String>,
    guest: &[GuestInterface],
) -> Vec<Interface> {
    let mut merged: Vec<Interface> = nics
        .iter()
        .map(|nic| Interface {
            name: nic.name.clone(),
            mac: nic.mac.clone(),
            link_up: Some(nic.link_up),
            ..Interface::default()
        })
        .collect();
    for interface in &mut merged {
        // The guest's word first: it may have taken another address than it was offered.
        if let Some(seen) = guest.iter().find(|seen| seen.mac == interface.mac) {
            interface.guest_name.clone_from(&seen.name);
            interface.addresses.clone_from(&seen.addresses);
            interface.sources.push(AGENT.to_owned());
        }
        if let Some(address) = leases.get(&interface.mac) {
            if interface.addresses.is_empty() {
                interface.addresses.push(address.clone());
            }
            interface.sources.push(DHCP.to_owned());
        }
    }
    let known = |mac: &str| nics.iter().any(|nic| nic.mac == mac);
    let own = guest.iter().filter(|seen| !loopback(seen) && !known(&seen.mac));
    merged.extend(own.map(|seen| Interface {
        name: String::new(),
        mac: seen.mac.clone(),
        addresses: seen.addresses.clone(),
        guest_name: seen.name.clone(),
        sources: vec![AGENT.to_owned()],
        link_up: None,
    }));
    merged
}

fn loopback(interface: &GuestInterface) -> bool {
    interface.mac.is_empty() || interface.mac == "00:00:00:00:00:00"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(name: &str, mac: &str) -> Nic {
        serde_json::from_value(serde_json::json!({
            "name": name, "model": "virtio", "address": {"type": "rootPort", "slot": 2},
            "mac": mac, "mtu": 0, "tap": "t", "linkUp": true
        }))
        .unwrap()
    }

    fn guest(name: &str, mac: &str, addresses: &[&str]) -> GuestInterface {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        GuestInterface { name: name.to_owned(), mac: mac.to_owned(), addresses }
    }

    #[test]
    fn sources_meet_by_hardware_address() {
        let nics = [nic("default", "02:00:00:00:00:01"), nic("second", "02:00:00:00:00:02")];
        let leases = BTreeMap::from([("02:00:00:00:00:01".to_owned(), "10.0.2.2".to_owned())]);
        let before = merge(&nics, &leases, &[]);
        assert_eq!((before[0].addresses[0].as_str(), before[0].sources[0].as_str()), ("10.0.2.2", "dhcp"));
        assert!(before[1].addresses.is_empty() && before[1].sources.is_empty());

        let seen = [
            guest("lo", "00:00:00:00:00:00", &["127.0.0.1"]),
            guest("enp1s0", "02:00:00:00:00:01", &["10.0.2.2", "fe80::1"]),
            guest("docker0", "02:42:00:00:00:01", &["172.17.0.1"]),
        ];
        let after = merge(&nics, &leases, &seen);
        assert_eq!(after.len(), 3);
        assert_eq!(after[0].guest_name, "enp1s0");
        assert_eq!(after[0].addresses, ["10.0.2.2", "fe80::1"]);
        assert_eq!(after[0].sources, ["guest-agent", "dhcp"]);
        assert_eq!((after[2].name.as_str(), after[2].guest_name.as_str()), ("", "docker0"));
    }
}
