//! What this user may do to networks, found out by doing it in namespaces that vanish again; for `doctor`.

use std::path::Path;

use host::Helper;
use host::probe::{Finding, with_namespaces};
use serde::{Deserialize, Serialize};

use crate::link::Stack;
use crate::netns_exec::{self, Request, Response};
use crate::{nft, tap};

/// One rule of each kind that a machine's network needs.
const RULES: &str = "  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    fib saddr . iif oif missing drop
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    masquerade
  }
";

fn rules() -> nft::Body {
    nft::Body { ip: RULES.to_owned(), ip6: String::new() }
}

/// Something a machine's network is made of, and why it could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    what: String,
    error: Option<String>,
}

/// Tries what every machine's network needs. Blocks for some tens of milliseconds.
///
/// `helper` runs the roles [`host::jail::ROLE`] and [`netns_exec::ROLE`]; `scratch` is a directory that may be written.
pub fn probe(helper: &Helper, scratch: &Path) -> Vec<Finding> {
    let tried = with_namespaces(helper, scratch, |pid| netns_exec::call(helper, pid, &Request::Rights));
    let attempts = match tried {
        Ok(Ok((Response::Rights(attempts), _))) => attempts,
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(error)) => vec![Attempt { what: "network namespace".into(), error: Some(error.to_string()) }],
        Err(error) => vec![Attempt { what: "network namespace".into(), error: Some(error.to_string()) }],
    };
    let mut findings: Vec<Finding> = attempts.into_iter().map(judge).collect();
    findings.push(uplink());
    findings
}

fn judge(attempt: Attempt) -> Finding {
    match attempt.error {
        None => Finding::good("network", format!("{} can be made in a Pod's network", attempt.what)),
        Some(error) => Finding::bad(
            "network",
            format!("no {} can be made in a Pod's network, so machines get none: {error}", attempt.what),
            match attempt.what.as_str() {
                "tap device" => {
                    "load the module tun and open /dev/net/tun to this user (chmod 0666, as udev does)"
                }
                "translation rules" => "install the package nftables and load the module nf_tables",
                _ => "run as root, or allow user namespaces",
            },
        ),
    }
}

/// Looks at the way out of the Pods' network.
fn uplink() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::good(
            "uplink",
            "Pods leave over a bridge with address translation; the host reaches them",
        );
    }
    match std::process::Command::new("pasta").arg("--version").output() {
        Ok(output) if output.status.success() => {
            Finding::good("uplink", "Pods leave through pasta; the host reaches them by port-forward only")
        }
        _ => Finding::bad("uplink", "Pods have no way out: pasta does not run", "install the package passt"),
    }
}

/// The helper's side: tries everything in the calling process's namespace.
pub(crate) fn try_all() -> Vec<Attempt> {
    let attempt = |what: &str, result: Result<(), crate::Error>| Attempt {
        what: what.to_owned(),
        error: result.err().map(|error| error.to_string()),
    };
    let bridge =
        crate::namespace::block_on(async { Stack::open()?.bridge("probe", 1500, None).await.map(drop) });
    vec![
        attempt("bridge", bridge),
        attempt("tap device", tap::open("probe-tap").map(drop)),
        attempt("translation rules", nft::replace_table("probe", &rules())),
    ]
}
