//! Which Pod holds which address, kept in a file.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use host::process::ProcessRecord;
use serde::{Deserialize, Serialize};

use crate::{Cidr, Error};

/// Name of the file in the state directory.
const FILE: &str = "addresses.json";

/// What a Pod holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    /// The process that carries the Pod's connections, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uplink: Option<ProcessRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    #[serde(default)]
    network: Option<Cidr>,
    /// Whether we switched on the forwarding of packets, which was off.
    #[serde(default)]
    forwarding_switched_on: bool,
    /// The same for IPv6.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forwarding6_switched_on: bool,
    /// Links that we told to go on taking IPv6 routes from advertisements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    advised: Vec<String>,
    /// Address that a name server of the cluster has here, if one runs on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_server: Option<Ipv4Addr>,
    #[serde(default)]
    pods: BTreeMap<String, Lease>,
}

/// Finds a network for the Pods of `node` that no foreign route leads to.
pub(crate) fn free_network(node: u8, foreign: &[Cidr]) -> Result<Cidr, Error> {
    let mut usual =
        (244..=254).chain(200..=243).map(|second| Cidr::new(Ipv4Addr::new(10, second, node, 0), 24));
    let free = usual.find(|network| !foreign.iter().any(|route| route.overlaps(*network)));
    free.ok_or_else(|| {
        Error::Exhausted("every default Pod network is in use on this host; choose one".into())
    })
}

/// The addresses of one node. Every change is in the file before the call returns.
#[derive(Debug)]
pub(crate) struct Addresses {
    path: PathBuf,
    state: State,
}

impl Addresses {
    /// Reads the file in `directory`; begins anew when there is none.
    pub(crate) fn load(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let state = match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(Error::system(format!("read {}", path.display())))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(Error::system(format!("read {}", path.display()))(error)),
        };
        Ok(Self { path, state })
    }

    /// Settles the node's network: the one asked for, the one it had, or the first that no route leads to.
    pub(crate) fn choose_network(
        &mut self,
        wanted: Option<Cidr>,
        node: u8,
        foreign: &[Cidr],
    ) -> Result<(), Error> {
        let free = |network: &Cidr| !foreign.iter().any(|route| route.overlaps(*network));
        if !self.state.pods.is_empty() && self.state.network.is_some() {
            return Ok(());
        }
        let network = if let Some(wanted) = wanted {
            if !free(&wanted) {
                return Err(Error::Exhausted(format!(
                    "the Pod network {wanted} is in use on this host; choose another one"
                )));
            }
            wanted.network()
        } else {
            match self.state.network.filter(free) {
                Some(known) => known,
                None => free_network(node, foreign)?,
            }
        };
        self.state.network = Some(network);
        self.save()
    }

    /// Returns the node's network; the default before one is chosen.
    pub(crate) fn network(&self) -> Cidr {
        self.state.network.unwrap_or(Cidr::new(Ipv4Addr::new(10, 244, 0, 0), 24))
    }

    /// Gives `pod` an address, or the one that it has.
    pub(crate) fn allocate(&mut self, pod: &str) -> Result<Ipv4Addr, Error> {
        if let Some(lease) = self.state.pods.get(pod) {
            return Ok(lease.address);
        }
        let network = self.network();
        // The first host is the gateway.
        let address = (2..).map_while(|number| network.host(number)).find(|address| !self.is_taken(*address));
        let address = address.ok_or_else(|| {
            Error::Exhausted(format!("no address is left in the Pod network {network}; delete Pods"))
        })?;
        self.state.pods.insert(pod.to_owned(), Lease { address, uplink: None });
        self.save()?;
        Ok(address)
    }

    /// Keeps an address for a name server: the last one that is free, and the same as long as the network is. A network
    /// with room for a single Pod has none.
    pub(crate) fn reserve_name_server(&mut self) -> Result<(), Error> {
        let network = self.network();
        if self.state.name_server.is_some_and(|address| network.contains(address)) {
            return Ok(());
        }
        self.state.name_server = None;
        let size = 1_u32.checked_shl(32 - u32::from(network.prefix)).unwrap_or(u32::MAX);
        let mut free = (2..size)
            .rev()
            .filter_map(|number| network.host(number))
            .filter(|address| !self.is_taken(*address));
        let (last, another) = (free.next(), free.next());
        self.state.name_server = last.filter(|_| another.is_some());
        self.save()
    }

    /// Returns the address that is kept for a name server.
    pub(crate) fn name_server(&self) -> Option<Ipv4Addr> {
        self.state.name_server
    }

    fn is_taken(&self, address: Ipv4Addr) -> bool {
        self.network().spare() == Some(address)
            || self.state.name_server == Some(address)
            || self.state.pods.values().any(|lease| lease.address == address)
    }

    pub(crate) fn lease(&self, pod: &str) -> Option<Lease> {
        self.state.pods.get(pod).cloned()
    }

    pub(crate) fn set_uplink(&mut self, pod: &str, process: ProcessRecord) -> Result<(), Error> {
        if let Some(lease) = self.state.pods.get_mut(pod) {
            lease.uplink = Some(process);
        }
        self.save()
    }

    pub(crate) fn free(&mut self, pod: &str) -> Result<(), Error> {
        self.state.pods.remove(pod);
        self.save()
    }

    pub(crate) fn pods(&self) -> Vec<String> {
        self.state.pods.keys().cloned().collect()
    }

    pub(crate) fn forwarding_switched_on(&self) -> bool {
        self.state.forwarding_switched_on
    }

    pub(crate) fn note_forwarding(&mut self) -> Result<(), Error> {
        self.state.forwarding_switched_on = true;
        self.save()
    }

    pub(crate) fn forwarding6_switched_on(&self) -> bool {
        self.state.forwarding6_switched_on
    }

    pub(crate) fn advised(&self) -> &[String] {
        &self.state.advised
    }

    pub(crate) fn note_forwarding6(&mut self, advised: Vec<String>) -> Result<(), Error> {
        self.state.forwarding6_switched_on = true;
        self.state.advised = advised;
        self.save()
    }

    /// Removes the file.
    pub(crate) fn remove(self) -> Result<(), Error> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::system(format!("remove {}", self.path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    fn save(&self) -> Result<(), Error> {
        let failed = || Error::system::<io::Error>(format!("write {}", self.path.display()));
        let bytes = serde_json::to_vec_pretty(&self.state).map_err(|error| failed()(error.into()))?;
        let fresh = self.path.with_extension("json.new");
        std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, &self.path)).map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a network")
    }

    #[test]
    fn addresses_survive_a_restart_and_are_reused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut addresses = Addresses::load(directory.path()).expect("a fresh state");
        addresses.choose_network(None, 3, &[]).expect("a network");
        assert_eq!(addresses.network(), cidr("10.244.3.0/24"));
        let first = addresses.allocate("a").expect("an address");
        assert_eq!(first, Ipv4Addr::new(10, 244, 3, 2));
        addresses.allocate("b").expect("an address");

        let mut addresses = Addresses::load(directory.path()).expect("the state");
        assert_eq!(addresses.allocate("a").expect("an address"), first);
        addresses.free("a").expect("it is freed");
        assert_eq!(addresses.allocate("c").expect("an address"), first);
        assert_eq!(addresses.pods(), ["b", "c"]);
    }

    #[test]
    fn networks_in_use_are_avoided() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut addresses = Addresses::load(directory.path()).expect("a fresh state");
        let foreign = [cidr("10.244.0.0/16"), cidr("192.0.2.0/24")];
        addresses.choose_network(None, 0, &foreign).expect("a network");
        assert_eq!(addresses.network(), cidr("10.245.0.0/24"));
        let wanted = Some(cidr("10.244.8.0/24"));
        let error = addresses.choose_network(wanted, 0, &foreign).expect_err("it is in use");
        assert!(error.to_string().contains("10.244.8.0/24"), "{error}");
    }

    #[test]
    fn a_name_server_has_an_address_of_its_own_for_the_life_of_the_network() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (network, expected) in
            [("10.9.0.0/24", Some("10.9.0.253")), ("10.8.0.0/29", Some("10.8.0.5")), ("10.9.0.0/30", None)]
        {
            let mut addresses = Addresses::load(directory.path()).expect("the state");
            addresses.choose_network(Some(cidr(network)), 0, &[]).expect("the network is free");
            addresses.reserve_name_server().expect("it is written");
            addresses.reserve_name_server().expect("a second look");
            let addresses = Addresses::load(directory.path()).expect("the state");
            assert_eq!(
                addresses.name_server(),
                expected.map(|text| text.parse().expect("an address")),
                "{network}"
            );
        }
        let mut addresses = Addresses::load(directory.path()).expect("the state");
        addresses.choose_network(Some(cidr("10.8.0.0/29")), 0, &[]).expect("the network is free");
        addresses.reserve_name_server().expect("it is written");
        for pod in ["a", "b", "c"] {
            assert_ne!(Some(addresses.allocate(pod).expect("an address")), addresses.name_server());
        }
        assert!(addresses.allocate("d").is_err(), "the last one is kept");
    }

    #[test]
    fn a_full_network_is_an_error() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut addresses = Addresses::load(directory.path()).expect("a fresh state");
        addresses.choose_network(Some(cidr("10.9.0.0/30")), 0, &[]).expect("a network");
        addresses.allocate("a").expect("the only address");
        assert!(addresses.allocate("b").is_err());
    }

    #[test]
    fn the_last_address_is_spared() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut addresses = Addresses::load(directory.path()).expect("a fresh state");
        addresses.choose_network(Some(cidr("10.9.0.0/29")), 0, &[]).expect("a network");
        let given: Vec<Ipv4Addr> =
            (0..9).map_while(|pod: u8| addresses.allocate(&pod.to_string()).ok()).collect();
        assert_eq!(given, [2, 3, 4, 5].map(|last| Ipv4Addr::new(10, 9, 0, last)));
    }
}
