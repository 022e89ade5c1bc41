//! The translation rules of a machine behind its Pod.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::{BRIDGE, MasqueradeSpec, POD_INTERFACE, Protocol};

/// Table in the Pod's network namespace.
pub(super) const TABLE: &str = "ironclad";

/// Writes the table's content.
pub(super) fn body(spec: &MasqueradeSpec, gateway: Ipv4Addr, machine: Ipv4Addr) -> String {
    let mut inbound = String::new();
    if spec.ports.is_empty() {
        let _ = writeln!(inbound, "    dnat to {machine}");
    }
    for port in &spec.ports {
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
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.1 jump inbound
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    oifname \"{POD_INTERFACE}\" ip saddr {machine} masquerade
    oifname \"{BRIDGE}\" ip saddr 127.0.0.1 snat to {gateway}
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    iifname \"{BRIDGE}\" ip saddr != {machine} drop
  }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::Port;
    use super::*;

    fn table(ports: Vec<Port>) -> String {
        let spec = MasqueradeSpec { ports, ..MasqueradeSpec::default() };
        body(&spec, Ipv4Addr::new(10, 0, 2, 1), Ipv4Addr::new(10, 0, 2, 2))
    }

    #[test]
    fn everything_is_forwarded_without_a_list_of_ports() {
        insta::assert_snapshot!(table(Vec::new()));
    }

    #[test]
    fn only_listed_ports_are_forwarded() {
        let ports =
            vec![Port { protocol: Protocol::Tcp, port: 22 }, Port { protocol: Protocol::Udp, port: 53 }];
        insta::assert_snapshot!(table(ports));
    }
}
