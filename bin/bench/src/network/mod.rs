//! TCP and SSH through a machine's network, in interleaved pairs with bare QEMU behind the same kind of network made by hand.
//!
//! Both guests are the same and run at once, each in a session and a control group with the same share of the processors;
//! one is measured while the other idles. What a guest sends or receives comes from and goes to nowhere, so that the figure
//! is the path's.

mod flow;
mod guest;
mod peer;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use kit::{Installation, Options, User};

use crate::report::Report;
use flow::{Flow, Way};
use guest::{Doors, Key, PORTS};
use peer::Peer;

/// Share of bare QEMU's throughput that is to be reached.
const SHARE: f64 = 0.95;

/// Measures as root, where machines stand behind a bridge and nft, and as an ordinary user, where `pasta` carries them. A test
/// that is no root measures the latter only.
pub(crate) fn against_bare(report: &mut Report, pairs: usize) -> Result<()> {
    let key = Key::make()?;
    if rustix::process::geteuid().is_root() {
        masquerade(report, pairs, &key).context("as root")?;
    }
    pasta(report, pairs, &key).context("as an ordinary user")
}

fn masquerade(report: &mut Report, pairs: usize, key: &Key) -> Result<()> {
    let installation = Installation::start(Options::default());
    installation.apply(&guest::manifest(&key.user_data(None)).to_string());
    let ours = Doors::at(guest::address(&installation)?);
    let group = guest::control_group(&installation)?;
    let peer = Peer::behind_a_bridge(&group, &key.user_data(None))?;
    let flows = flow::into_the_guest(key);
    compare(report, pairs, "masquerade", &flows, &ours, peer.doors())
}

fn pasta(report: &mut Report, pairs: usize, key: &Key) -> Result<()> {
    let user = if rustix::process::geteuid().is_root() { User::Ordinary } else { User::Own };
    let installation = Installation::start(Options { user, ..Options::default() });
    let (ours, theirs) = (flow::Listeners::open()?, flow::Listeners::open()?);
    installation.apply(&guest::manifest(&key.user_data(ours.addresses())).to_string());
    installation.apply(&guest::service().to_string());
    let doors = Doors { listeners: ours, ..guest::node_ports(&installation)? };
    let peer = Peer::behind_pasta(user, theirs, |addresses| key.user_data(addresses))?;
    let mut flows = flow::into_the_guest(key);
    flows.extend([Flow::opened_by_the_guest(Way::Out), Flow::opened_by_the_guest(Way::In)]);
    compare(report, pairs, "pasta", &flows, &doors, peer.doors())
}

/// Takes each figure of both guests in turn.
fn compare(
    report: &mut Report,
    pairs: usize,
    network: &str,
    flows: &[Flow<'_>],
    ours: &Doors,
    bare: &Doors,
) -> Result<()> {
    for flow in flows {
        for doors in [ours, bare] {
            flow.rate(doors).with_context(|| format!("the first connection, {}", flow.name()))?;
        }
        let (mut through, mut past, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs {
            // Who goes first alternates, so that drift of the machine favours neither.
            let (our, their) = if pair % 2 == 0 {
                let our = flow.rate(ours)?;
                (our, flow.rate(bare)?)
            } else {
                let their = flow.rate(bare)?;
                (flow.rate(ours)?, their)
            };
            through.push(our);
            past.push(their);
            ratios.push(our / their);
        }
        let name = flow.name();
        report.add_samples(&format!("{name}, {network}"), "MB/s", &through, None);
        report.add_samples(&format!("{name}, bare QEMU, {network} by hand"), "MB/s", &past, None);
        report.add_share(&format!("{name}, {network} against bare QEMU"), &ratios, SHARE);
    }
    Ok(())
}

/// Where a port of a guest is reached.
fn door(doors: &[SocketAddr; PORTS.len()], port: u16) -> Result<SocketAddr> {
    let at = PORTS.iter().position(|known| *known == port);
    at.map(|at| doors[at]).with_context(|| format!("the guest has no port {port}"))
}
