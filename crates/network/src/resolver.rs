//! Name servers: the host's, and what a Pod makes of them, for machines that do not share the host's loopback.

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
    /// Whether it wants nothing of the host's resolver.
    pub alone: bool,
    /// Its own.
    pub own: Resolver,
}

/// Most name servers that resolvers look at.
const MOST_SERVERS: usize = 3;

/// Files that may name the servers; the second one is where systemd-resolved keeps the real ones.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

impl Resolver {
    /// Reads the resolver of the host whose root directory is `root`.
    pub fn of_host(root: &Path) -> Self {
        let mut resolver = Self::default();
        for file in FILES {
            let path = root.join(file.trim_start_matches('/'));
            let read = Self::parse(&std::fs::read_to_string(path).unwrap_or_default());
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

    /// Reads a `resolv.conf`; servers on the loopback are left out.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver
                        .servers
                        .extend(server.filter(|server| !server.is_loopback() && !is_of_a_link(server)));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => resolver.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }

    /// Returns the resolver of a Pod on the host whose resolver this is: the Pod's own entries first.
    #[must_use]
    pub fn of_pod(&self, pod: &PodDns) -> Self {
        let mut resolver = pod.own.clone();
        if !pod.alone {
            let add = |to: &mut Vec<String>, from: &[String]| {
                for entry in from.iter().filter(|entry| !to.contains(entry)).cloned().collect::<Vec<_>>() {
                    to.push(entry);
                }
            };
            for server in &self.servers {
                if !resolver.servers.contains(server) {
                    resolver.servers.push(*server);
                }
            }
            add(&mut resolver.search, &self.search);
            add(&mut resolver.options, &self.options);
        }
        resolver.servers.truncate(MOST_SERVERS);
        resolver
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
    fn a_pod_adds_its_own_or_stands_alone() {
        let host = Resolver::parse("nameserver 192.0.2.7\nsearch a.example\noptions ndots:1\n");
        let own =
            Resolver::parse("nameserver 192.0.2.9\nnameserver 192.0.2.7\nsearch own.example a.example\n");
        let text = |alone| host.of_pod(&PodDns { alone, own: own.clone() }).to_text();
        assert_eq!(
            text(false),
            "nameserver 192.0.2.9\nnameserver 192.0.2.7\nsearch own.example a.example\noptions ndots:1\n"
        );
        assert_eq!(text(true), own.to_text());
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
