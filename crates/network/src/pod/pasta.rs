//! Pods behind a `pasta` process each, for ordinary users.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use host::process::ProcessRecord;

use crate::binding::POD_INTERFACE;
use crate::ipv6::LINK_GATEWAY;
use crate::{Cidr, Error};

/// MTU of the Pod's interface. Connections are carried by sockets of the host, so that the uplink's does not
/// matter; machines inside expect an ordinary one.
const MTU: &str = "1500";

/// What pasta says on a host without a default route.
const NO_UPLINK: [&str; 2] = ["External interface not usable", "No external routable interface"];

/// Starts the process that carries the connections of the Pod that process `pid` is in.
///
/// Returns once the Pod's interface is configured; the process goes on by itself.
pub(super) fn attach(
    state: &Path,
    pod: &str,
    pid: i32,
    own: Cidr,
    own6: Option<Ipv6Addr>,
    gateway: Ipv4Addr,
) -> Result<ProcessRecord, Error> {
    let (pid_file, log_file) = files(state, pod);
    let mut pasta = Command::new("pasta");
    match own6 {
        Some(address) => {
            pasta.args(["--address", &address.to_string(), "--gateway", &LINK_GATEWAY.to_string()]);
        }
        None => {
            pasta.arg("--ipv4-only");
        }
    }
    let output = pasta
        .arg("--config-net")
        .args(["--quiet", "--no-map-gw"])
        // Machines that have the Pod's address are told of it by their launcher alone.
        .args(["--no-dhcp", "--no-dhcpv6", "--no-ra"])
        // Nothing of the host is opened to the Pod, nor of the Pod to the host.
        .args(["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"])
        .args(["--mtu", MTU, "--ns-ifname", POD_INTERFACE])
        .args(["--address", &own.address.to_string(), "--netmask", &own.prefix.to_string()])
        .args(["--gateway", &gateway.to_string()])
        .arg("--pid")
        .arg(&pid_file)
        .arg("--log-file")
        .arg(&log_file)
        .args(["--userns", &format!("/proc/{pid}/ns/user")])
        .args(["--netns", &format!("/proc/{pid}/ns/net")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(Error::system("start pasta (install the package passt)"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // Without a system log, each message is followed by a complaint about that.
        let reason = text.lines().rfind(|line| !line.contains("syslog"));
        let reason = reason.unwrap_or("no reason given");
        if NO_UPLINK.iter().any(|words| reason.contains(words)) {
            return Err(Error::NoUplink);
        }
        return Err(Error::Pasta(explain(reason)));
    }
    let text = std::fs::read_to_string(&pid_file).map_err(Error::system("read the process ID of pasta"))?;
    let pid =
        text.trim().parse().map_err(|_| Error::Pasta(format!("it wrote {text:?} as its process ID")))?;
    ProcessRecord::of(pid).map_err(|error| Error::Pasta(error.to_string()))
}

/// Adds the remedy to what is known to go wrong.
fn explain(reason: &str) -> String {
    if reason.contains("tun") {
        format!("{reason} (open /dev/net/tun to this user: chmod 0666 /dev/net/tun, as udev does)")
    } else {
        reason.to_owned()
    }
}

/// Ends the process of a Pod and removes its files.
pub(super) fn detach(state: &Path, pod: &str, process: Option<&ProcessRecord>) -> Result<(), Error> {
    let (pid_file, log_file) = files(state, pod);
    let opened =
        process.map(ProcessRecord::open).transpose().map_err(|error| Error::Pasta(error.to_string()))?;
    if let Some(process) = opened.flatten() {
        let end = || process.kill().map_err(|error| Error::Pasta(error.to_string()));
        end()?;
        process.wait(Duration::from_secs(2));
    }
    for file in [pid_file, log_file] {
        // Only a Pod that was connected this way has them.
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

fn files(state: &Path, pod: &str) -> (PathBuf, PathBuf) {
    (state.join(format!("pasta-{pod}.pid")), state.join(format!("pasta-{pod}.log")))
}
