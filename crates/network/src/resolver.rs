//! The host's name servers, for Pods and machines that do not share its loopback.

use std::net::Ipv4Addr;
use std::path::Path;

/// Name servers and search domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// IPv4 name servers that are reachable from outside the host's loopback.
    pub servers: Vec<Ipv4Addr>,
    /// Search domains.
    pub search: Vec<String>,
}

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
                    let server = words.next().and_then(|word| word.parse::<Ipv4Addr>().ok());
                    resolver.servers.extend(server.filter(|server| !server.is_loopback()));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        resolver
    }

    /// Writes it as a `resolv.conf`.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> =
            self.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        if !self.search.is_empty() {
            lines.push(format!("search {}\n", self.search.join(" ")));
        }
        lines.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_are_left_out() {
        let text =
            "# x\nnameserver 127.0.0.53\nnameserver 192.0.2.7\nnameserver 2001:db8::1\nsearch a.example b\n";
        let resolver = Resolver::parse(text);
        assert_eq!(resolver.servers, [Ipv4Addr::new(192, 0, 2, 7)]);
        assert_eq!(resolver.search, ["a.example", "b"]);
        assert_eq!(resolver.to_text(), "nameserver 192.0.2.7\nsearch a.example b\n");
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
            Resolver { servers: vec![Ipv4Addr::new(192, 0, 2, 1)], search: vec!["x".into()] }
        );
    }
}
