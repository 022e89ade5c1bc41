//! The translation rules of a machine in its Pod's network.

use std::fmt::{Display, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{BRIDGE, POD_INTERFACE, Port, Protocol};
use crate::nft::Body;

/// Table in the Pod's network namespace, one for each family of addresses.
pub(super) const TABLE: &str = "ironclad";

/// The two ends of the network between bridge and machine.
pub(super) struct Sides<A> {
    pub(super) gateway: A,
    pub(super) machine: A,
}

/// Writes the table of a machine behind its Pod's address.
pub(super) fn masquerade(ports: &[Port], four: &Sides<Ipv4Addr>, six: Option<&Sides<Ipv6Addr>>) -> Body {
    // Only the elder family lets the Pod's own loopback leave it.
    let loopback = from_loopback("jump inbound");
    let back = back_to_loopback(four.gateway);
    Body {
        ip: family("ip", ports, &four.machine, &loopback, &back),
        ip6: six.map(|six| family("ip6", ports, &six.machine, "", "")).unwrap_or_default(),
    }
}

/// Writes the table of a machine with the Pod's own address, to which the Pod speaks as `spare`.
pub(super) fn bridge(machine: Ipv4Addr, spare: Ipv4Addr) -> Body {
    let (loopback, back) = (from_loopback(&format!("dnat to {machine}")), back_to_loopback(spare));
    let ip = format!(
        "{loopback}  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
{back}  }}
"
    );
    Body { ip, ip6: String::new() }
}

/// What happens to a connection of the Pod to its own loopback.
fn from_loopback(verdict: &str) -> String {
    format!(
        "  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.1 {verdict}
  }}
"
    )
}

/// Gives such a connection an address that the machine can answer.
fn back_to_loopback(own: Ipv4Addr) -> String {
    format!("    oifname \"{BRIDGE}\" ip saddr 127.0.0.1 snat to {own}\n")
}

fn family(word: &str, ports: &[Port], machine: &dyn Display, output: &str, back: &str) -> String {
    let mut inbound = String::new();
    if ports.is_empty() {
        let _ = writeln!(inbound, "    dnat to {machine}");
    }
    for port in ports {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let _ = writeln!(inbound, "    {protocol} dport {} dnat to {machine}", port.port);
    }
    format!(
        "  chain inbound {{
{inbound}  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    iifname \"{POD_INTERFACE}\" jump inbound
  }}
{output}  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    oifname \"{POD_INTERFACE}\" {word} saddr {machine} masquerade
{back}  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    iifname \"{BRIDGE}\" {word} saddr != {machine} drop
  }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ports: &[Port]) -> Body {
        let four = Sides { gateway: Ipv4Addr::new(10, 0, 2, 1), machine: Ipv4Addr::new(10, 0, 2, 2) };
        let host = |number| crate::ipv6::DEFAULT_NETWORK.host(number).expect("a host");
        masquerade(ports, &four, Some(&Sides { gateway: host(1), machine: host(2) }))
    }

    #[test]
    fn everything_is_forwarded_without_a_list_of_ports() {
        insta::assert_snapshot!(table(&[]).ip);
    }

    #[test]
    fn only_listed_ports_are_forwarded() {
        let ports =
            vec![Port { protocol: Protocol::Tcp, port: 22 }, Port { protocol: Protocol::Udp, port: 53 }];
        let table = table(&ports);
        insta::assert_snapshot!(table.ip);
        insta::assert_snapshot!("the_other_family", table.ip6);
    }

    #[test]
    fn a_machine_with_the_pods_address_is_reached_from_the_loopback() {
        let table = bridge(Ipv4Addr::new(10, 244, 0, 2), Ipv4Addr::new(10, 244, 0, 254));
        insta::assert_snapshot!(table.ip);
        assert_eq!(table.ip6, "");
    }
}
