//! The forwarding of packets, which the first installation on a host switches on and the last switches off.
//!
//! Each knows from its own file what it switched on itself. Whoever leaves while others need it leaves a note for them: a
//! table without rules in the packet filter, which all of them see and which goes with the network namespace.

use crate::{Error, nft, sysctl};

/// The note. Its name begins like those of all our tables.
pub(super) const NOTE: &str = "ironclad_forwarding";

/// What was off before the first of us came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Switched {
    pub(super) ip: bool,
    pub(super) ip6: bool,
    /// Links that were told to go on taking IPv6 routes from advertisements.
    pub(super) advised: Vec<String>,
}

impl Switched {
    /// Joins what two of us know.
    fn and(mut self, other: Self) -> Self {
        self.ip |= other.ip;
        self.ip6 |= other.ip6;
        self.advised.extend(other.advised);
        self.advised.sort();
        self.advised.dedup();
        self
    }

    fn body(&self) -> nft::Body {
        // A table without anything in it may be taken for a left-over.
        let nothing = "  chain switched_on {\n  }\n";
        let mut body = nft::Body::default();
        if self.ip {
            body.ip.push_str(nothing);
        }
        if self.ip6 {
            body.ip6.push_str(nothing);
            let links: Vec<String> = self.advised.iter().map(|link| format!("\"{link}\"")).collect();
            if !links.is_empty() {
                let links = links.join(", ");
                body.ip6.push_str(&format!(
                    "  set advised {{\n    type ifname\n    elements = {{ {links} }}\n  }}\n"
                ));
            }
        }
        body
    }
}

/// Ends our use of the forwarding in the calling thread's namespace: off where nobody else needs it, else a note of `own`.
pub(super) fn leave(own: Switched, is_needed: bool) -> Result<(), Error> {
    let known = noted()?;
    let all = known.clone().and(own);
    if is_needed {
        return if all == known { Ok(()) } else { nft::replace_table(NOTE, &all.body()) };
    }
    if all.ip {
        sysctl::write("ipv4/ip_forward", "0")?;
    }
    if all.ip6 {
        // Whoever switched IPv6 off meanwhile took the setting along.
        let _ = sysctl::write("ipv6/conf/all/forwarding", "0");
    }
    super::six::switch_off(&all.advised);
    if known == Switched::default() { Ok(()) } else { nft::remove_table(NOTE) }
}

/// Reads the note.
fn noted() -> Result<Switched, Error> {
    let tables = nft::tables()?;
    let has = |family: &str| tables.iter().any(|table| table.name == NOTE && table.family == family);
    let mut noted = Switched { ip: has("ip"), ip6: has("ip6"), advised: Vec::new() };
    if noted.ip6 {
        // Names of links are the only words in quotes.
        noted.advised = nft::list("ip6", NOTE)?.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    }
    Ok(noted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_what_all_know() {
        let one = Switched { ip: true, ip6: false, advised: Vec::new() };
        let other = Switched { ip: false, ip6: true, advised: vec!["wan0".into(), "eth0".into()] };
        let all = one.clone().and(other.clone()).and(other);
        assert_eq!(all, Switched { ip: true, ip6: true, advised: vec!["eth0".into(), "wan0".into()] });
        assert!(all.body().ip6.contains(r#"{ "eth0", "wan0" }"#));
        assert_eq!(one.body().ip6, "");
    }
}
