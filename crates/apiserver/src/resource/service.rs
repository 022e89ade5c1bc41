//! Addresses and ports of Services: which are taken, and the next free one.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use parking_lot::Mutex;
use serde_json::Value;

/// Ports that Services of type `NodePort` get.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// Gives out cluster addresses and node ports.
#[derive(Debug)]
pub struct Allocator {
    base: u32,
    size: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    addresses: HashSet<u32>,
    ports: HashSet<u16>,
}

impl Allocator {
    /// Gives out addresses of a network, as `10.96.0.0/16`.
    pub fn new((network, prefix): (Ipv4Addr, u8)) -> Self {
        let size = 1u32 << (32 - u32::from(prefix.clamp(8, 30)));
        Self { base: u32::from(network) & !(size - 1), size, taken: Mutex::default() }
    }

    /// Returns whether an address lies in the network and is not its first or last.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let at = u32::from(address);
        at > self.base && at - self.base < self.size - 1
    }

    /// Returns the first address: that of the API server's own Service.
    pub fn first(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// The network in its usual notation.
    pub fn network(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.base), self.size.leading_zeros() + 1)
    }

    /// Takes a given address; false if it is taken already.
    pub fn take_address(&self, address: Ipv4Addr) -> bool {
        self.taken.lock().addresses.insert(u32::from(address))
    }

    /// Takes a free address, looking from `hint` on; none if all are taken.
    pub fn next_address(&self, hint: u32) -> Option<Ipv4Addr> {
        let mut taken = self.taken.lock();
        // The lower part is left for addresses that users choose.
        let reserved = (self.size / 16).clamp(16, 256).min(self.size / 2);
        let span = self.size - reserved - 1;
        let free = (0..span).map(|step| self.base + reserved + (hint.wrapping_add(step)) % span);
        let address = free.into_iter().find(|address| !taken.addresses.contains(address))?;
        taken.addresses.insert(address);
        Some(Ipv4Addr::from(address))
    }

    /// Takes a given node port; false if it is taken already.
    pub fn take_port(&self, port: u16) -> bool {
        self.taken.lock().ports.insert(port)
    }

    /// Takes a free node port, looking from `hint` on; none if all are taken.
    pub fn next_port(&self, hint: u16) -> Option<u16> {
        let mut taken = self.taken.lock();
        let span = NODE_PORTS.end() - NODE_PORTS.start() + 1;
        let free = (0..span).map(|step| NODE_PORTS.start() + (hint % span + step) % span);
        let port = free.into_iter().find(|port| !taken.ports.contains(port))?;
        taken.ports.insert(port);
        Some(port)
    }

    /// Returns whether a number can be a node port.
    pub fn is_node_port(port: i64) -> bool {
        u16::try_from(port).is_ok_and(|port| NODE_PORTS.contains(&port))
    }

    /// Notes what a Service holds.
    pub fn hold(&self, service: &Value) {
        let mut taken = self.taken.lock();
        let (addresses, ports) = held(service);
        taken.addresses.extend(addresses);
        taken.ports.extend(ports);
    }

    /// Frees what a Service held.
    pub fn release(&self, service: &Value) {
        let mut taken = self.taken.lock();
        let (addresses, ports) = held(service);
        taken.addresses.retain(|address| !addresses.contains(address));
        taken.ports.retain(|port| !ports.contains(port));
    }
}

fn held(service: &Value) -> (Vec<u32>, Vec<u16>) {
    let spec = &service["spec"];
    let address = spec["clusterIP"].as_str().and_then(|text| text.parse::<Ipv4Addr>().ok());
    let mut ports: Vec<&Value> =
        spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]).collect();
    ports.push(&spec["healthCheckNodePort"]);
    let ports = ports.into_iter().filter_map(Value::as_u64).filter_map(|port| u16::try_from(port).ok());
    (address.map(u32::from).into_iter().collect(), ports.filter(|port| *port > 0).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_given_once() {
        let allocator = Allocator::new((Ipv4Addr::new(10, 96, 0, 0), 24));
        assert_eq!(allocator.network(), "10.96.0.0/24");
        let all: HashSet<_> = std::iter::from_fn(|| allocator.next_address(7)).collect();
        assert_eq!(all.len(), 256 - 16 - 1);
        assert!(all.iter().all(|address| allocator.contains(*address)));
        let one = *all.iter().next().expect("an address");
        allocator.release(&json!({"spec": {"clusterIP": one.to_string()}}));
        assert_eq!(allocator.next_address(0), Some(one));
    }
}
