//! IPv6 on a node that root runs, beside what [`super::bridge`] does for IPv4.
//!
//! A Pod's address follows from its IPv4 address ([`crate::ipv6`]), its gateway is the node's end of its own link. A host
//! that has IPv6 switched off, or does not let us forward it, has Pods without.

use super::bridge::Names;
use crate::binding::POD_INTERFACE;
use crate::ipv6::{self, Cidr6, LINK_GATEWAY, twin, twin_network};
use crate::link::{Link, Stack};
use crate::{Cidr, Error, sysctl};

/// What was changed on the node, to be undone at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Switched {
    /// Whether forwarding was off.
    pub(super) forwarding: bool,
    /// Links with a default route from an advertisement, which routers take only when told expressly.
    pub(super) advised: Vec<String>,
}

/// Lets the calling thread's namespace forward IPv6. `None` where it has no IPv6, or does not allow it.
pub(super) async fn switch_on(stack: &Stack) -> Result<Option<Switched>, Error> {
    if !ipv6::is_there() {
        return Ok(None);
    }
    if sysctl::read("ipv6/conf/all/forwarding").is_ok_and(|value| value != "0") {
        return Ok(Some(Switched::default()));
    }
    let mut switched = Switched { forwarding: true, advised: Vec::new() };
    let advice = |link: &str| format!("ipv6/conf/{link}/accept_ra");
    let learned = stack.advised6().await?;
    for link in stack.links().await?.into_iter().filter(|link| learned.contains(&link.index)) {
        // A router forgets what it learned from others unless told so; the host must not lose its own way out. Other
        // links stay as they are: whoever is behind them may be a tenant.
        if sysctl::read(&advice(&link.name)).is_ok_and(|value| value == "1")
            && sysctl::write(&advice(&link.name), "2").is_ok()
        {
            switched.advised.push(link.name);
        }
    }
    if let Err(error) = sysctl::write("ipv6/conf/all/forwarding", "1") {
        tracing::info!(%error, "Pods get IPv4 addresses only: net.ipv6.conf.all.forwarding cannot be switched on");
        switch_off(&switched.advised);
        return Ok(None);
    }
    Ok(Some(switched))
}

/// Has links take routes from advertisements as they did before.
pub(super) fn switch_off(advised: &[String]) {
    for link in advised {
        // The link may be gone.
        let _ = sysctl::write(&format!("ipv6/conf/{link}/accept_ra"), "1");
    }
}

/// Gives the node its address in the Pods' network.
pub(super) async fn node(stack: &Stack, bridge: &Link, network: Cidr) -> Result<(), Error> {
    let six = twin_network(network);
    let Some(own) = six.host(1) else { return Ok(()) };
    sysctl::write(&format!("ipv6/conf/{}/disable_ipv6", bridge.name), "0")?;
    distrust(&bridge.name);
    stack.address6(bridge, Cidr6::new(own, six.prefix)).await
}

/// Configures the node's end of a Pod's link, which is there and up.
pub(super) async fn near(stack: &Stack, link: &Link, pod: Cidr) -> Result<(), Error> {
    distrust(&link.name);
    sysctl::write(&format!("ipv6/conf/{}/disable_ipv6", link.name), "0")?;
    stack.address6(link, Cidr6::new(LINK_GATEWAY, 64)).await?;
    stack.route6(Cidr6::new(twin(pod.address), 128), None, Some(link)).await
}

/// Says that the link brings no IPv6 packet to the node.
pub(super) fn none(link: &str) {
    // On a kernel without IPv6 there is nothing to switch off.
    let _ = sysctl::write(&format!("ipv6/conf/{link}/disable_ipv6"), "1");
}

/// Configures the Pod's end of its link, before it is up.
pub(super) async fn far(stack: &Stack, link: &Link, pod: Cidr) -> Result<(), Error> {
    sysctl::write(&format!("ipv6/conf/{POD_INTERFACE}/accept_ra"), "0")?;
    stack.address6(link, Cidr6::new(twin(pod.address), 128)).await
}

/// Routes what the Pod sends, once its link is up.
pub(super) async fn leave(stack: &Stack, link: &Link) -> Result<(), Error> {
    stack.default_route6(LINK_GATEWAY, link).await
}

/// Makes a link's far side, which belongs to a tenant, no source of routes.
fn distrust(link: &str) {
    for setting in ["accept_ra", "accept_redirects"] {
        let _ = sysctl::write(&format!("ipv6/conf/{link}/{setting}"), "0");
    }
}

/// Writes the rules that [`super::bridge`] has for the other family.
///
/// What comes from a Pod has the Pod's address, but for the questions that neighbours ask each other: other packets with
/// an address of the link only would pass by the policies.
pub(super) fn rules(names: &Names, network: Cidr, peers: &[Cidr]) -> String {
    let links = names.links();
    let network = twin_network(network).network();
    let peers = peers.iter().fold(String::new(), |rules, peer| {
        rules + &format!("    ip6 daddr {} accept\n", twin_network(*peer).network())
    });
    format!(
        "  chain spoofed {{
    type filter hook prerouting priority -300; policy accept;
    iifname \"{links}\" ip6 saddr fe80::/10 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname \"{links}\" ip6 saddr fe80::/10 drop
    iifname \"{links}\" fib saddr . iif oif missing drop
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
{peers}    ip6 saddr {network} ip6 daddr != {network} masquerade
  }}
"
    )
}

/// Writes the rule of a bridge behind which the networks `inner` lie; see [`super::bridge::translate`].
pub(super) fn translation(bridge: &str, network: Cidr, inner: &[Cidr]) -> String {
    let sources: Vec<String> = std::iter::once(&network)
        .chain(inner)
        .map(|network| twin_network(*network).network().to_string())
        .collect();
    format!(
        "  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip6 saddr {{ {} }} oifname != \"{bridge}\" masquerade
  }}
",
        sources.join(", ")
    )
}
