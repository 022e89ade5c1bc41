//! What a node's packet filter should do: Services to Pods, and what NetworkPolicies let pass.
//!
//! Both parts write the body of an nft table for each family of addresses that it is about, which the node's agent loads as a whole. The texts
//! are deterministic: the same objects give the same text, so that nothing is loaded without a change.

mod name_server;
mod policies;
mod policy;
mod services;
mod unserved;

pub use self::name_server::name_servers;
pub use self::policies::{LocalNode, Tables, policies};
pub use self::policy::{Peer, PeerPort, Policy, Rule};
pub use self::services::{Endpoint, Port, Service, services};
pub use self::unserved::unserved;

/// Writes `name { kind; elements = { ... } }`; without the elements when there are none.
fn collection(kind: &str, name: &str, types: &str, elements: &[String]) -> String {
    let mut text = format!("  {kind} {name} {{\n    type {types}\n");
    if !elements.is_empty() {
        text.push_str("    elements = { ");
        text.push_str(&elements.join(",\n                 "));
        text.push_str(" }\n");
    }
    text.push_str("  }\n");
    text
}
