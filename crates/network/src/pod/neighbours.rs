//! What a node answers on a Pod's link in the place of other Pods.
//!
//! A machine that has its Pod's address takes the whole network to be on its link, and asks there for its neighbours. The
//! node says that it is them, and routes. Pods themselves do not ask: their routes lead to the node.

use crate::sysctl;

/// Has the node answer on `link` for whatever it routes elsewhere, at once.
pub(super) fn answer_for(link: &str) {
    // Where settings are read-only, such machines reach the world but not each other.
    let _ = sysctl::write(&format!("ipv4/conf/{link}/proxy_arp"), "1");
    let _ = sysctl::write(&format!("ipv4/neigh/{link}/proxy_delay"), "0");
}
