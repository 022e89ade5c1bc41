//! Name servers: the host's, and what a Pod makes of them, for machines that do not share the host's loopback.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

/// Name servers and search domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Name servers that are reachable from outside the host's loopback.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options, such as `ndots:2`.
    pub options: Vec<String>,
}

/// What a Pod asks of its resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDns {
    /// What its own entries are added to.
    pub base: Base,
    /// Its own.
    pub own: Resolver,
}

/// What a Pod's own entries are added to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Nothing,
    /// The host's resolver.
    #[default]
    Host,
    /// The cluster's names, as seen from this namespace; the host's resolver where the cluster has no name server.
    Cluster(String),
}

/// The cluster's name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDns {
    /// Address that Pods reach it at.
    pub server: IpAddr,
    /// Domain of the cluster's own names.
    pub domain: String,
}

/// Most name servers that resolvers look at.
const MOST_SERVERS: usize = 3;
/// Most search domains, and characters that all of them have: what Kubernetes allows.
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH: usize = 2048;
/// A name with fewer dots is looked for in the search domains first, so that `service.namespace` is found.
const CLUSTER_OPTION: &str = "ndots:5";

/// Files that may name the servers; the second one is where systemd-resolved keeps the real ones.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

impl Resolver {
    /// Reads the resolver of the host whose root directory is `root`.
    pub fn of_host(root: &Path) -> Self {
        let mut resolver = Self::default();
        for file in FILES {
            let read = Self::of_file(&root.join(file.trim_start_matches('/')));
            if resolver.search.is_empty() {
                resolver.search = read.search;
            }
            if !read.servers.is_empty() {
                resolver.servers = read.servers;
                break;
            }
        }
        resolver
    }

    /// Reads a file such as `/etc/resolv.conf`; one that cannot be read says nothing.
    pub fn of_file(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Reads a `resolv.conf`; servers on the loopback are left out.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    resolver.servers.extend(server(words.next()).filter(|server| !server.is_loopback()));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => resolver.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }

    /// Returns the resolver of a Pod on the host whose resolver this is: what it builds on, then its own entries; what
    /// exceeds Kubernetes' limits is left out.
    #[must_use]
    pub fn of_pod(&self, cluster: Option<&ClusterDns>, pod: &PodDns) -> Self {
        let mut resolver = match (&pod.base, cluster) {
            (Base::Nothing, _) => Self::default(),
            (Base::Cluster(namespace), Some(cluster)) => {
                let domain = &cluster.domain;
                let own = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
                Self {
                    servers: vec![cluster.server],
                    search: own.into_iter().chain(self.search.iter().cloned()).collect(),
                    options: vec![CLUSTER_OPTION.to_owned()],
                }
            }
            (Base::Host | Base::Cluster(_), _) => self.clone(),
        };
        resolver.servers.extend(&pod.own.servers);
        resolver.search.extend(pod.own.search.iter().cloned());
        let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
        let own: BTreeSet<String> = pod.own.options.iter().map(|option| name(option)).collect();
        resolver.options.retain(|option| !own.contains(&name(option)));
        resolver.options.extend(pod.own.options.iter().cloned());
        resolver.limit();
        resolver
    }

    /// Leaves out what stands there twice, and what resolvers do not look at.
    fn limit(&mut self) {
        let mut seen = BTreeSet::new();
        self.servers.retain(|server| seen.insert(*server));
        self.servers.truncate(MOST_SERVERS);
        let (mut seen, mut length) = (BTreeSet::new(), 0);
        self.search.retain(|domain| {
            let is_new = seen.len() < MOST_SEARCHES && !seen.contains(domain);
            let fits = length + domain.len() <= LONGEST_SEARCH;
            if is_new && fits {
                length += domain.len() + 1;
                seen.insert(domain.clone());
            }
            is_new && fits
        });
    }

    /// Writes it as a `resolv.conf`.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> =
            self.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        if !self.search.is_empty() {
            lines.push(format!("search {}\n", self.search.join(" ")));
        }
        if !self.options.is_empty() {
            lines.push(format!("options {}\n", self.options.join(" ")));
        }
        lines.concat()
    }
}

/// Lists the name servers that programs of the host itself ask, those on its loopback included.
pub fn servers_of_host(path: &Path) -> Vec<IpAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| (words.next() == Some("nameserver")).then(|| server(words.next()))?)
        .collect()
}

/// Reads the address of a name server; `None` for one that is good on one link only.
fn server(word: Option<&str>) -> Option<IpAddr> {
    word?.parse().ok().filter(|server| !is_of_a_link(server))
}

/// Says whether an address means something on one link only.
fn is_of_a_link(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_are_left_out() {
        let text = "# x\nnameserver 127.0.0.53\nnameserver 192.0.2.7\nnameserver 2001:db8::1\nnameserver ::1\n\
                    nameserver fe80::1\nsearch a.example b\n";
        let resolver = Resolver::parse(text);
        let servers = ["192.0.2.7", "2001:db8::1"].map(|text| text.parse::<IpAddr>().expect("an address"));
        assert_eq!(resolver.servers, servers);
        assert_eq!(resolver.search, ["a.example", "b"]);
        assert_eq!(resolver.to_text(), "nameserver 192.0.2.7\nnameserver 2001:db8::1\nsearch a.example b\n");
    }

    #[test]
    fn a_pod_adds_its_own_to_the_clusters_or_the_hosts_or_to_nothing() {
        let host = Resolver::parse("nameserver 192.0.2.7\nsearch a.example\noptions ndots:1 rotate\n");
        let own = Resolver::parse(
            "nameserver 192.0.2.9\nnameserver 192.0.2.7\nsearch own.example a.example\noptions ndots:2 edns0\n",
        );
        let cluster = ClusterDns { server: IpAddr::from([10, 96, 0, 10]), domain: "cluster.local".into() };
        let text = |cluster: Option<&ClusterDns>, base: Base, own: &Resolver| {
            host.of_pod(cluster, &PodDns { base, own: own.clone() }).to_text()
        };
        let none = Resolver::default();
        assert_eq!(text(Some(&cluster), Base::Host, &none), host.to_text());
        assert_eq!(
            text(Some(&cluster), Base::Host, &own),
            "nameserver 192.0.2.7\nnameserver 192.0.2.9\nsearch a.example own.example\noptions rotate ndots:2 edns0\n"
        );
        assert_eq!(text(Some(&cluster), Base::Nothing, &own), own.to_text());
        let shop = || Base::Cluster("shop".into());
        assert_eq!(
            text(Some(&cluster), shop(), &none),
            "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local a.example\n\
             options ndots:5\n"
        );
        assert_eq!(
            text(Some(&cluster), shop(), &own),
            "nameserver 10.96.0.10\nnameserver 192.0.2.9\nnameserver 192.0.2.7\n\
             search shop.svc.cluster.local svc.cluster.local cluster.local a.example own.example\n\
             options ndots:2 edns0\n"
        );
        assert_eq!(text(None, shop(), &none), host.to_text(), "without a name server of the cluster");
    }

    #[test]
    fn what_exceeds_the_limits_is_left_out() {
        let own = Resolver {
            servers: (1..=5).map(|last| IpAddr::from([192, 0, 2, last])).collect(),
            search: (0..40).map(|number| format!("{number}.example")).collect(),
            ..Resolver::default()
        };
        let resolver = Resolver::default().of_pod(None, &PodDns { base: Base::Nothing, own });
        assert_eq!((resolver.servers.len(), resolver.search.len()), (3, 32));
        let long =
            Resolver { search: (0..20).map(|n| format!("{n:0>200}")).collect(), ..Resolver::default() };
        let resolver = Resolver::default().of_pod(None, &PodDns { base: Base::Nothing, own: long });
        assert_eq!(resolver.search.len(), 10, "2048 characters hold ten of 200");
    }

    #[test]
    fn the_host_itself_asks_its_loopback() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "search x\nnameserver 127.0.0.53\nnameserver fe80::1\nnameserver\n")
            .expect("it is written");
        assert_eq!(servers_of_host(file.path()), [IpAddr::from([127, 0, 0, 53])]);
        assert_eq!(servers_of_host(Path::new("/nowhere")), Vec::<IpAddr>::new());
    }

    #[test]
    fn the_stub_resolver_is_looked_through() {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(root.path().join("etc")).expect("a directory");
        std::fs::create_dir_all(root.path().join("run/systemd/resolve")).expect("a directory");
        std::fs::write(root.path().join("etc/resolv.conf"), "nameserver 127.0.0.53\nsearch x\n")
            .expect("a file");
        let real = root.path().join("run/systemd/resolve/resolv.conf");
        std::fs::write(real, "nameserver 192.0.2.1\n").expect("a file");
        let resolver = Resolver::of_host(root.path());
        assert_eq!(
            resolver,
            Resolver {
                servers: vec![IpAddr::from([192, 0, 2, 1])],
                search: vec!["x".into()],
                ..Resolver::default()
            }
        );
    }
}
